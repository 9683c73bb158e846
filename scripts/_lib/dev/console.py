"""`scripts/console`: a Python prompt or psql on the data of a running `scripts/dev`, as `app_user`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts._lib.dev import app_commands
from scripts._lib.dev.data_folder import MARKER, SECRETS
from scripts._lib.dev.files import read_json
from scripts._lib.dev.server_files import find_postgres
from scripts._lib.dev.terminal import print_progress
from scripts._lib.dev.virtualenv import PYTHON, ROOT

DATABASE = "switchyard"


def main(arguments: Sequence[str] | None = None) -> None:
    """Replace this process with the prompt."""
    parser = argparse.ArgumentParser(
        prog="scripts/console", description="Open a Python or SQL prompt on the data of scripts/dev."
    )
    parser.add_argument(
        "kind", nargs="?", choices=["python", "psql"], default="python", help="default: %(default)s"
    )
    default = Path(os.environ.get("DATA_DIR") or ROOT / ".local")
    parser.add_argument("--data", type=Path, default=default, help="data folder (default: .local)")
    options = parser.parse_args(arguments)
    data = options.data.expanduser().absolute()
    state = read_json(data / MARKER)
    secrets, ports = read_json(Path(state.get("servers") or data) / SECRETS), state.get("ports")
    if not secrets or not ports or not (data / "run" / "postgres.json").exists():
        sys.exit(
            f"scripts/console: scripts/dev isn't running on {data}; "
            "start it first, or name its folder with --data."
        )
    print_progress(
        "Row-level security is on. To see rows, first run: "
        "select set_config('app.account_id', '<account id>', false)"
    )
    if options.kind == "psql":
        open_psql(ports["postgres"], secrets["app_user"])
    open_python(data, ports, secrets)


def open_psql(port: int, password: str) -> None:
    """psql as app_user; the password is in the environment."""
    program = str(find_postgres(None, ROOT) / "psql")
    env = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "app_user", "PGPASSWORD": password}
    os.execve(program, [program, DATABASE], {**os.environ, **env})


def open_python(data: Path, ports: dict[str, int], secrets: dict[str, str]) -> None:
    """A Python prompt with top-level `await` and the settings of the local application."""
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
