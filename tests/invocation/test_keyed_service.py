"""The keys of one node over a store whose every answer the test decides."""

import contextlib
from types import SimpleNamespace

import attrs
import trio
import trio.testing

from aether.errors import Overloaded
from aether.invocation.keyed import Keyed
from aether.invocation.keyed_service import KeptKeys
from aether.invocation.reply import Done, Form, NotStarted
from aether.kv import keys
from aether.model.artifact import ArtifactBase
from aether.model.ids import Incarnation, InstanceId, NodeId

TILL = ArtifactBase.parse("shop:till")
CALL = Keyed(
    target=TILL,
    method="take",
    instance=InstanceId("i"),
    key="k",
    payload={},
    form=Form.WIRE,
    name="Till.take",
    left_s=5.0,
)


class ScriptedStore:
    """Rows in memory. before, after  called with the number of each proposal; may raise, or change what is there"""

    def __init__(self, log_time_ms=0):
        self.rows, self.versions = {}, {}
        self.revision = 0
        self.log_time_ms = log_time_ms
        self.before = self.after = lambda number: None
        self.proposals = 0
        here = SimpleNamespace(incarnation=Incarnation("x"))
        self.rows[keys.instance(TILL, CALL.instance).text] = here
        self.rows[keys.member(NodeId("a")).text] = here

    def get(self, key):
        return self.rows.get(key.text)

    def version(self, key):
        return self.versions.get(key.text, 0)

    def follow(self, prefix):
        pass

    def versioned(self, text, prefix):
        return None

    def changed_after(self, revision, prefix):
        return []

    def page(self, prefix, after, limit):
        return []

    def write(self, key, row):
        self.revision += 1
        self.rows[key.text], self.versions[key.text] = row, self.revision

    async def propose(self, batch):
        self.proposals += 1
        await trio.lowlevel.checkpoint()
        self.before(self.proposals)
        if any(self.version(compare.key) != compare.version for compare in batch.compares):
            return SimpleNamespace(applied=False)
        for change in batch.changes:
            if hasattr(change, "value"):
                self.write(change.key, change.value)
            else:
                self.rows.pop(change.key.text, None)
                self.versions.pop(change.key.text, None)
        self.after(self.proposals)
        return SimpleNamespace(applied=True)

    @contextlib.asynccontextmanager
    async def watch(self, *prefixes):
        yield SimpleNamespace(changed=trio.sleep_forever)

    def kept(self):
        return {text: row for text, row in self.rows.items() if text.startswith(keys.CALLS)}


async def carried_out(store, *, idempotent=False):
    """What came of CALL, how often it ran, and the keys that are left."""
    kept, runs = KeptKeys(NodeId("a"), Incarnation("x"), store), []

    async def run():
        runs.append(1)
        return Done(1)

    async with trio.open_nursery() as nursery:
        await nursery.start(kept.run)
        reply = None
        with trio.move_on_after(5.0):
            reply = await kept.around(CALL, idempotent=idempotent)(None, run)
        await trio.sleep(5.0)
        nursery.cancel_scope.cancel()
    return reply, len(runs)


async def test_a_key_whose_stamp_could_not_be_corrected_is_free_again(autojump_clock):
    """The first write tells that the log was idle for long; the second one is refused. Nothing runs: nobody waits."""
    store = ScriptedStore()

    def before(number):
        store.log_time_ms = 60_000
        if number == 2:
            raise Overloaded("the log", 1)

    store.before = before
    reply, runs = await carried_out(store)

    assert isinstance(reply, NotStarted)
    assert runs == 0
    assert store.kept() == {}


async def test_a_key_that_somebody_took_over_between_both_stamps_is_theirs(autojump_clock):
    """Of an idempotent method: the first stamp is out of date as soon as it is applied, so another call may begin."""
    store = ScriptedStore()

    def after(number):
        store.log_time_ms = 60_000
        if number == 1:
            ((text, row),) = store.kept().items()
            store.write(keys.parse(text), attrs.evolve(row, number=99, at_ms=60_000, until_ms=90_000))

    store.after = after
    _, runs = await carried_out(store, idempotent=True)

    assert runs == 0
    assert [row.number for row in store.kept().values()] == [99]


async def test_a_first_look_at_all_keys_that_was_cancelled_is_made_again(autojump_clock):
    """Half of it would be taken for all, and the keys that it missed would never be dropped."""
    store = ScriptedStore()
    others = [keys.call_key(TILL, "take", f"{number:032x}").text for number in range(5)]
    leaving = trio.CancelScope()

    def page(prefix, after, limit):
        leaving.cancel()
        return [] if after else [(text, b"row", 1) for text in others]

    store.page = page
    kept = KeptKeys(NodeId("a"), Incarnation("x"), store)

    async def run():
        return Done(1)

    async with trio.open_nursery() as nursery:
        await nursery.start(kept.run)
        with leaving:
            await kept.around(CALL, idempotent=False)(None, run)
        assert leaving.cancelled_caught
        await kept.around(CALL, idempotent=False)(None, run)
        nursery.cancel_scope.cancel()
    assert len(kept._window) >= len(others)
