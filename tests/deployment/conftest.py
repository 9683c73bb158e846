"""An nginx, and servers of their own: what is ended here must not be another test's."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts._lib.bench.testbed import Testbed, running_testbed
from scripts._lib.dev.nginx import find_nginx


@pytest.fixture
def nginx() -> Path:
    program = find_nginx()
    if program is None:
        pytest.skip("NOT RUN: no nginx here; scripts/test gets one where it can")
    return program


@pytest.fixture
async def testbed() -> AsyncIterator[Testbed]:
    async with running_testbed() as running:
        yield running
