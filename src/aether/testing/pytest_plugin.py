"""The pytest plugin: `aether_cluster` opens clusters in memory, under virtual time, for async tests.

Knows: pytest's collection, trio's virtual clock.
Never: anything heavy before the fixture is used.
Holds: an async test that requests `aether_cluster` is run by this plugin, whatever other async plugins are installed;
       such a test takes no async fixtures of theirs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aether.testing.clusters import MemoryCluster

FIXTURE = "aether_cluster"


class ClusterFactory:
    """`cluster = await aether_cluster(Greeter, nodes=3)`: a MemoryCluster that lives until the end of the test.

    Takes what `aether.testing.memory_cluster` takes; may be called more than once.
    """

    def __init__(self) -> None:
        self._stack: AsyncExitStack | None = None

    async def __call__(self, *slices: type, **options: Any) -> MemoryCluster:
        from aether.testing.clusters import memory_cluster

        if self._stack is None:
            raise pytest.UsageError(f"{FIXTURE} works in `async def` tests only")
        return await self._stack.enter_async_context(memory_cluster(*slices, **options))

    async def run(self, test: Callable[..., Any], arguments: dict[str, Any]) -> None:
        """Run `test`; every cluster it opened is closed afterwards."""
        async with AsyncExitStack() as self._stack:
            await test(**arguments)
        self._stack = None


@pytest.fixture
def aether_cluster() -> ClusterFactory:
    """Opens clusters in memory; see ClusterFactory."""
    return ClusterFactory()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take over async tests that request the fixture, before other async plugins look at them."""
    for item in items:
        if isinstance(item, pytest.Function) and FIXTURE in item.fixturenames:
            test = item.obj
            if inspect.iscoroutinefunction(test):
                item.obj = _in_virtual_time(test, item, _foreign(item))


def _foreign(item: pytest.Function) -> str:
    """Which other plugin has already claimed the test: "" when none."""
    module = type(item).__module__
    return "" if module.startswith("_pytest") else module.partition(".")[0]


def _in_virtual_time(test: Callable[..., Any], item: pytest.Function, foreign: str) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        if foreign:
            pytest.fail(
                f"{foreign} runs this async test as its own; mark it @pytest.mark.trio, or leave {foreign}'s auto mode",
                pytrace=False,
            )
        import trio
        import trio.testing

        factory = item.funcargs[FIXTURE]  # there also when only a fixture of the test asked for it
        assert isinstance(factory, ClusterFactory)
        trio.run(factory.run, test, arguments, clock=trio.testing.MockClock(autojump_threshold=0))

    # pytest and its plugins look through __wrapped__; this function is an ordinary one
    del run.__wrapped__
    return run
