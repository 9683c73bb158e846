import pytest

from tests.fakes import Outside, TestClock
from tests.jobs.stage import Stage
from tests.web.world import World


@pytest.fixture
async def stage(world: World, clock: TestClock, outside: Outside) -> Stage:
    return Stage(world, await world.account(), clock, outside)
