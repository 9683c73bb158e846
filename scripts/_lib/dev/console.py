"""`scripts/console`: a Python prompt, or psql, on the data of a running scripts/dev, as the app's role."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts._lib.dev import app_commands
from scripts._lib.dev.data_folder import MARKER, SECRETS
from scripts._lib.dev.files import read_json
from scripts._lib.dev.postgres import server_files
from scripts._lib.dev.terminal import say
from scripts._lib.dev.virtualenv import PYTHON, ROOT

DATABASE = "switchyard"


def main(arguments: Sequence[str] | None = None) -> None:
    """Replace this process by the prompt."""
    parser = argparse.ArgumentParser(prog="scripts/console", description="A prompt on the local data.")
    parser.add_argument("kind", nargs="?", choices=["python", "psql"], default="python")
    default = Path(os.environ.get("DATA_DIR") or ROOT / ".local")
    parser.add_argument("--data", type=Path, default=default, help="data folder (default: .local)")
    options = parser.parse_args(arguments)
    data = options.data.expanduser().absolute()
    state = read_json(data / MARKER)
    secrets, ports = read_json(Path(state.get("servers") or data) / SECRETS), state.get("ports")
    if not secrets or not ports or not (data / "run" / "postgres.json").exists():
        sys.exit(f"scripts/console: nothing runs on {data}; start scripts/dev first (or name its --data).")
    say("row security holds here too: select set_config('app.account_id', '<account id>', false) comes first")
    if options.kind == "psql":
        psql(ports["postgres"], secrets["app_user"])
    python(data, ports, secrets)


def psql(port: int, password: str) -> None:
    """psql as app_user, its password in the environment."""
    program = str(server_files(None, ROOT) / "psql")
    env = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "app_user", "PGPASSWORD": password}
    os.execve(program, [program, DATABASE], {**os.environ, **env})


def python(data: Path, ports: dict[str, int], secrets: dict[str, str]) -> None:
    """A prompt that knows `await`, with the settings of the local application."""
    values = {
        "DATA_DIR": str(data),
        "DATABASE_URL": f"postgresql://app_user:{secrets['app_user']}@127.0.0.1:{ports['postgres']}/{DATABASE}",
        "REDIS_URL": f"redis://:{secrets['valkey']}@127.0.0.1:{ports['valkey']}/0",
        "DEMO": "1",
    }
    os.chdir(ROOT)
    os.execve(str(PYTHON), [str(PYTHON), "-m", "asyncio"], app_commands.environment(values))


if __name__ == "__main__":
    main()
