"""Real servers for the whole run: one PostgreSQL and one Valkey per worker process, as the restricted role.

Every test makes accounts of its own, so tests share the database without seeing each other.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from litestar import Litestar

from app.main import create_app
from app.runtime import Runtime, open_runtime
from app.sessions.throttle import Throttle
from app.settings import Settings
from jobs import counter_upkeep
from scripts._lib.dev.postgres import Postgres
from scripts._lib.dev.valkey import Valkey
from tests.support.fakes import Outside, TestClock
from tests.support.log_recorder import Recorder, recording
from tests.support.world import World

ROOT = Path(__file__).resolve().parent.parent
PASSWORDS = {"app_owner": "owner-of-tests", "app_user": "user-of-tests"}
DATABASE = "switchyard"


@pytest.fixture(scope="session", autouse=True)
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    """Everything the session logs. At its end, no secret that its tests created is in it."""
    with recording(tmp_path_factory.mktemp("logs") / "all.log") as recorded:
        yield recorded
        assert recorded.leaks() == []


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres.temporary() as server:
        server.bootstrap(DATABASE, PASSWORDS)
        config = Config()
        config.set_main_option("script_location", str(ROOT / "db" / "migrations"))
        config.set_main_option("sqlalchemy.url", server.url("app_owner", PASSWORDS["app_owner"], DATABASE))
        command.upgrade(config, "head")
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    with Valkey.temporary() as server:
        yield server


@pytest.fixture(scope="session")
def settings(postgres: Postgres, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        database_url=postgres.url("app_user", PASSWORDS["app_user"], DATABASE),
        redis_url=valkey.url(),
        data_dir=tmp_path_factory.mktemp("data"),
        rate_limit_per_minute=100_000,
        egress_allow_loopback=True,
        log_level="DEBUG",  # what a test logs is recorded and not printed, see tests/support/log_recorder.py
    )


@pytest.fixture(scope="session")
def admin_url(postgres: Postgres) -> str:
    """A superuser's address: for making and looking at rows that the app may not."""
    return postgres.superuser_url(DATABASE)


@pytest.fixture(scope="session")
def outside() -> Outside:
    return Outside()


@pytest.fixture(scope="session")
def clock() -> TestClock:
    return TestClock()


@pytest.fixture(scope="session")
async def runtime(settings: Settings, outside: Outside, clock: TestClock) -> AsyncIterator[Runtime]:
    opened = open_runtime(
        settings, clock=clock, mailer=outside, caller=outside, provider=outside, pool_size=5
    )
    opened.counts.times = 0  # tests look right after they change something
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
async def app(settings: Settings, runtime: Runtime) -> AsyncIterator[Litestar]:
    application = create_app(settings, runtime)
    application.state.recent_counts.seconds = 0  # tests look right after they change something
    async with running(application):
        yield application


@pytest.fixture
async def world(
    app: Litestar, runtime: Runtime, admin_url: str, outside: Outside, clock: TestClock
) -> AsyncIterator[World]:
    """The app without history: nothing sent, the clock right, no member throttled. At the end of each test
    the counters of its accounts are what they count."""
    outside.clear()
    clock.reset()
    app.state.throttle = Throttle(None)
    test_world = World(app, admin_url, outside.mails, runtime)
    yield test_world
    await test_world.check_counters()


@asynccontextmanager
async def running(app: Litestar) -> AsyncIterator[None]:
    """The app's lifespan in a task of its own: a fixture is torn down in another task than it began in."""
    up, down = asyncio.Event(), asyncio.Event()

    async def body() -> None:
        async with app.lifespan():
            up.set()
            await down.wait()

    task = asyncio.create_task(body())
    await up.wait()
    yield
    down.set()
    await task


def pytest_configure() -> None:
    counter_upkeep.FOLD_SECONDS = 3600  # a worker would count the accounts of all tests
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / ".hypothesis"))
