import pytest

from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.world import World


@pytest.fixture
async def stage(world: World, clock: TestClock, outside: Outside) -> Stage:
    return Stage(world, await world.account(), clock, outside)
