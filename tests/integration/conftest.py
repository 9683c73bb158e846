from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.fakes import Outside, TestClock
from tests.support.scenario import Stage
from tests.support.world import World


@pytest.fixture
async def stage(world: World, clock: TestClock, outside: Outside) -> Stage:
    return Stage(world, await world.account(), clock, outside)


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """Redis without jobs that earlier tests left."""
    client = Redis.from_url(settings.redis_url)
    await client.flushdb()
    yield client
    await client.aclose()
