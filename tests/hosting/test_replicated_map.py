"""`aether.map` over the store behaves like the one in memory, operation for operation."""

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

import aether.slice_api.decorators as aether
from aether.errors import BadInput, QuotaExceeded
from aether.hosting.replicated_map import define_map, replicated_map
from aether.kv import keys
from aether.kv.keys import MapRow
from aether.slice_api.fields import map as replicated
from aether.slice_api.maps import Map, MemoryMap


@aether.slice(artifact="shop:ledger:1.0.0")
class Ledger:
    rows: Map[str, int] = replicated("ledger", entries_max=2)

    async def write(self, key: str, value: int) -> bool:
        return await self.rows.put_if_absent(key, value)

    async def read(self, key: str) -> int | None:
        return await self.rows.get(key)


async def test_a_slice_stores_through_its_map_and_others_see_it(home_of, autojump_clock):
    async with home_of() as home:
        await home.deploy(Ledger)
        ledger = home.get(Ledger)

        assert await ledger.write("a", 1)
        assert not await ledger.write("a", 2)
        assert await replicated_map(home.kv, "ledger", str, int).get("a") == 1
        assert await Ledger().read("a") is None, "constructed plainly, its map is in memory"


async def test_the_limits_of_the_field_hold(home_of, autojump_clock):
    async with home_of() as home:
        await home.deploy(Ledger)
        rows = replicated_map(home.kv, "ledger", str, int)
        await rows.put("a", 1)
        await rows.put("b", 2)
        with pytest.raises(QuotaExceeded, match="2 entries"):
            await rows.put("c", 3)
        await rows.put("b", 4)

        assert await rows.count() == 2


async def test_a_map_with_default_limits_needs_no_row_of_its_own(home_of, autojump_clock):
    async with home_of() as home:
        limits = MapRow()
        await define_map(home.kv, "plain", limits.entries_max, limits.bytes_max)
        assert home.kv.get(keys.map_definition("plain")) is None
        await define_map(home.kv, "plain", 5, limits.bytes_max)
        await define_map(home.kv, "plain", limits.entries_max, limits.bytes_max)

        assert home.kv.get(keys.map_definition("plain")) == limits


async def test_two_maps_with_names_of_which_one_begins_the_other_do_not_meet(home_of, autojump_clock):
    async with home_of() as home:
        short, long = replicated_map(home.kv, "a", str, int), replicated_map(home.kv, "a/b", str, int)
        await long.put("x", 1)

        assert await short.items() == []
        assert await short.count() == 0


KEYS = st.text(st.sampled_from("aZ-%/\x00\x7fé"), max_size=2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.integers(0, 9)),
        st.tuples(st.just("put_if_absent"), KEYS, st.integers(0, 9)),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("get"), KEYS),
        st.tuples(st.just("count")),
        st.tuples(st.just("items"), KEYS, KEYS | st.none(), st.integers(1, 4)),
    ),
    max_size=25,
)


@given(STEPS)
def test_every_operation_answers_as_the_map_in_memory_does(home_of_sync, steps):
    """A slice that passed its unit tests must not meet another order or version rule in production."""

    async def run(rows):
        answers = []
        for number, key in enumerate(("a", "a/", "/a", "%2F", "é", "\x00", "Z-", "-")):
            await rows.put(key, number)
        for name, *arguments in steps:
            if name == "items":
                prefix, after, limit = arguments
                answers.append(await rows.items(prefix=prefix, after=after, limit=limit))
            else:
                answers.append(await getattr(rows, name)(*arguments))
        return answers

    async def main():
        async with home_of_sync() as home:
            assert await run(replicated_map(home.kv, "m", str, int)) == await run(MemoryMap(str, int))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_key_that_does_not_fit_its_row_is_refused_with_the_limit(home_of, autojump_clock):
    async with home_of() as home:
        rows = replicated_map(home.kv, "m", bytes, int)
        with pytest.raises(BadInput, match="bytes"):
            await rows.put(b"\x00" * 900, 1)
