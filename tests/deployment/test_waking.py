"""The Waker of a node: written once for many calls, tried again while one waits, silent once the node stops."""

import pytest
import trio
import trio.testing

from aether.deployment.waking_manager import Waker
from aether.errors import NoQuorum
from aether.kv import keys
from aether.kv.commands import BatchResult
from aether.model.artifact import Artifact
from aether.model.ids import NodeId, Revision
from aether.model.rows import DesiredRow

ECHO = Artifact.parse("a:echo:1.0.0")
ASLEEP = DesiredRow(artifact=ECHO, instances=0, wished=1, blueprint="app", instances_min=0, instances_max=9)


class Rows:
    """A store of one slice that sleeps; the first `failures` proposals find no quorum."""

    def __init__(self, failures=0):
        self.rows = {keys.desired(ECHO.base): ASLEEP}
        self.failures = failures
        self.proposed = 0

    def get(self, key):
        return self.rows.get(key)

    def version(self, key):
        return Revision(int(key in self.rows))

    async def propose(self, batch):
        self.proposed += 1
        await trio.sleep(0.01)
        if self.failures:
            self.failures -= 1
            raise NoQuorum(1, 2)
        self.rows |= {change.key: change.value for change in batch.changes}
        return BatchResult(applied=True, revision=Revision(1), conflict=None)


@pytest.fixture
async def woken(nursery):
    """Starts a Waker over `Rows`."""

    def start(rows):
        waker = Waker(NodeId("n1"), rows, wall=lambda: 1_000.0)
        nursery.start_soon(waker.run)
        return waker

    return start


async def test_many_calls_are_one_write(autojump_clock, woken, nursery):
    rows = Rows()
    waker = woken(rows)
    await trio.testing.wait_all_tasks_blocked()
    for _ in range(20):
        waker.wake(ECHO.base, trio.current_time() + 5.0)
    await trio.sleep(1.0)
    assert rows.proposed == 1
    assert rows.get(keys.desired(ECHO.base)).instances == 1
    nursery.cancel_scope.cancel()


async def test_what_is_not_written_is_tried_again_while_a_call_waits_and_no_longer(autojump_clock, woken, nursery):
    rows = Rows(failures=3)
    waker = woken(rows)
    await trio.testing.wait_all_tasks_blocked()
    waker.wake(ECHO.base, trio.current_time() + 5.0)
    await trio.sleep(5.0)
    assert rows.proposed == 4
    assert rows.get(keys.desired(ECHO.base)).instances == 1

    rows.rows[keys.desired(ECHO.base)], rows.failures = ASLEEP, 1_000
    waker.wake(ECHO.base, trio.current_time() + 1.0)
    await trio.sleep(2.0)
    tried = rows.proposed
    await trio.sleep(60.0)
    assert rows.proposed == tried
    nursery.cancel_scope.cancel()


async def test_a_call_that_comes_while_the_node_stops_is_not_answered_with_a_defect(autojump_clock):
    """The tasks of a node end in any order: its Waker may be gone before the last call."""
    rows = Rows()
    waker = Waker(NodeId("n1"), rows, wall=lambda: 1_000.0)
    waker.wake(ECHO.base, trio.current_time() + 5.0)  # before it runs
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waker.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    waker.wake(ECHO.base, trio.current_time() + 5.0)
    assert rows.proposed == 0
