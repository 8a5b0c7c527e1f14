"""Maps: compare-and-set, atomic batches, order, quotas; in memory the same as replicated."""

import copy
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aether
from aether.model.limits import BATCH_OPERATIONS_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX
from aether.slice_api.annotations import NoCodec
from aether.slice_api.map_keys import key_codec
from aether.slice_api.maps import ITEMS_MAX, UPDATE_TRIES_MAX, Map, MapEntry, MemoryBackend, MemoryMap


@attrs.define
class Order:
    lines: list[int]


class Place(NamedTuple):
    shop: str
    shelf: int


async def test_put_get_delete_and_versions():
    orders = MemoryMap(str, Order)
    assert await orders.get("a") is None
    assert await orders.entry("a") == MapEntry(None, 0)
    await orders.put("a", Order([1]))
    first = await orders.entry("a")
    assert first.value == Order([1])
    assert first.version > 0
    await orders.put("a", Order([2]))
    assert (await orders.entry("a")).version > first.version
    await orders.delete("a")
    await orders.delete("a")
    assert await orders.entry("a") == MapEntry(None, 0)
    assert await orders.count() == 0


async def test_compare_and_set_wins_only_against_the_version_it_saw():
    orders = MemoryMap(str, int)
    assert await orders.put_if_absent("a", 1)
    assert not await orders.put_if_absent("a", 2)
    version = (await orders.entry("a")).version
    assert not await orders.compare_and_set("a", 3, 0)
    assert await orders.compare_and_set("a", 3, version)
    assert not await orders.compare_and_set("a", 4, version)
    assert await orders.get("a") == 3


async def test_a_deleted_and_recreated_key_does_not_match_an_old_version():
    orders = MemoryMap(str, int)
    await orders.put("a", 1)
    old = (await orders.entry("a")).version
    await orders.delete("a")
    await orders.put("a", 1)
    assert not await orders.compare_and_set("a", 2, old)


async def test_a_batch_happens_as_a_whole_or_not_at_all():
    stock = MemoryMap(str, int)
    await stock.put("a", 5)
    version = (await stock.entry("a")).version
    assert not await stock.apply({"a": 4, "b": 1}, {"a": version, "b": 9})
    assert await stock.items() == [("a", 5)]
    assert await stock.apply({"a": None, "b": 1}, {"a": version, "b": 0})
    assert await stock.items() == [("b", 1)]
    with pytest.raises(aether.BadInput, match=f"{BATCH_OPERATIONS_MAX + 1} keys"):
        await stock.apply({str(i): i for i in range(BATCH_OPERATIONS_MAX + 1)}, {})


async def test_update_tries_again_until_it_wins_and_gives_up_boundedly():
    stock = MemoryMap(str, int)
    assert await stock.update("a", lambda value: (value or 0) + 1) == 1
    assert await stock.update("a", lambda value: (value or 0) + 1) == 2
    assert await stock.update("a", lambda value: None) is None
    assert await stock.count() == 0

    class Contended(MemoryBackend):
        tries = 0

        async def apply(self, changes, if_versions):
            self.tries += 1
            return False

    backend = Contended("stock", 10, 1000)
    with pytest.raises(aether.Conflict, match=r"map stock, key 'a'.*32 times"):
        await Map(str, int, backend, name="stock").update("a", lambda value: 1)
    assert backend.tries == UPDATE_TRIES_MAX


async def test_values_share_nothing_with_the_callers():
    orders = MemoryMap(str, Order)
    order = Order([1])
    await orders.put("a", order)
    order.lines.append(2)
    got = await orders.get("a")
    assert got == Order([1])
    got.lines.append(3)
    assert await orders.get("a") == Order([1])


async def test_items_come_in_order_of_keys_by_prefix_and_page():
    orders = MemoryMap(str, int)
    for number, key in enumerate(["b", "a/2", "a/1", "a0", "a/10"]):
        await orders.put(key, number)
    assert [k for k, _ in await orders.items()] == ["a/1", "a/10", "a/2", "a0", "b"]
    assert [k for k, _ in await orders.items(prefix="a/")] == ["a/1", "a/10", "a/2"]
    assert [k for k, _ in await orders.items(prefix="a/", after="a/1", limit=1)] == ["a/10"]
    assert [k for k, _ in await orders.items(prefix="a/", after="A")] == ["a/1", "a/10", "a/2"]
    assert await orders.items(after="b") == []
    for limit in (0, ITEMS_MAX + 1, True):
        with pytest.raises(aether.BadInput, match="limit="):
            await orders.items(limit=limit)


async def test_tuple_keys_have_prefixes_of_their_first_items():
    rows: MemoryMap[tuple[str, int], int] = MemoryMap(tuple[str, int], int)
    for key in [("o1", 2), ("o1", -1), ("o", 1), ("o2", 0), ("o1\x00", 0)]:
        await rows.put(key, 1)
    assert [k for k, _ in await rows.items(prefix=("o1",))] == [("o1", -1), ("o1", 2)]
    with pytest.raises(aether.BadInput, match="prefix"):
        await rows.items(prefix="o1")
    places = MemoryMap(Place, int)
    await places.put(Place("a", 1), 1)
    assert await places.items() == [(Place("a", 1), 1)]


async def test_quotas_of_entries_and_bytes_are_kept_before_anything_changes():
    few = MemoryMap(str, str, name="few", entries_max=2, bytes_max=1000)
    await few.put("a", "1")
    assert await few.apply({"b": "2"}, {})
    with pytest.raises(aether.QuotaExceeded, match="map few holds its limit of 2 entries"):
        await few.apply({"c": "3", "a": "changed"}, {})
    assert await few.get("a") == "1"
    await few.put("a", "replaced")
    assert await few.apply({"a": None, "c": "3"}, {})
    with pytest.raises(aether.QuotaExceeded, match="1000 bytes"):
        await few.put("c", "x" * 1000)
    small = MemoryMap(str, str, entries_max=5, bytes_max=10)
    await small.put("a", "12345678")
    await small.put("a", "1")
    await small.put("b", "12345")


async def test_a_full_map_may_still_shrink():
    backend = MemoryBackend("m", 2, 1000)
    full = Map(str, int, backend)
    await full.put("a", 1)
    await full.put("b", 1)
    backend._entries_max = 1
    await full.put("b", 2)
    await full.delete("a")
    with pytest.raises(aether.QuotaExceeded):
        await full.put("c", 1)


async def test_keys_and_values_are_checked_with_the_name_of_the_map():
    orders = MemoryMap(str, Order, name="orders")
    with pytest.raises(aether.BadInput, match=r"map orders: key: expected str"):
        await orders.get(1)  # type: ignore[arg-type]
    with pytest.raises(aether.BadInput, match=r"map orders: value of 'a'\.lines\[0\]: expected int"):
        await orders.put("a", Order(["x"]))  # type: ignore[list-item]
    with pytest.raises(aether.BadInput, match="None is no value"):
        await orders.put("a", None)  # type: ignore[arg-type]
    with pytest.raises(aether.BadInput, match=f"at most {KEY_BYTES_MAX}"):
        await orders.get("x" * (KEY_BYTES_MAX + 1))
    with pytest.raises(aether.BadInput, match=f"at most {VALUE_BYTES_MAX}"):
        await MemoryMap(str, str).put("a", "x" * VALUE_BYTES_MAX)
    for version in (-1, True, "1"):
        with pytest.raises(aether.BadInput, match="version"):
            await orders.compare_and_set("a", Order([]), version)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tp", "values"),
    [
        (str, st.text(max_size=5)),
        (int, st.integers(-(2**63), 2**63 - 1)),
        (bytes, st.binary(max_size=5)),
        (date, st.dates()),
        (UUID, st.uuids()),
        (tuple[str, int], st.tuples(st.text(max_size=3), st.integers(-300, 300))),
        (tuple[bytes, bytes, str], st.tuples(st.binary(max_size=3), st.binary(max_size=3), st.text(max_size=2))),
        (Place, st.builds(Place, st.text(max_size=3), st.integers(-300, 300))),
    ],
    ids=str,
)
@given(data=st.data())
@settings(max_examples=150)
def test_keys_come_back_and_sort_as_bytes_as_they_sort_in_python(tp, values, data):
    """Paging by `after` and ranges by prefix rest on this order."""
    codec = key_codec(tp)
    one, other = data.draw(values), data.draw(values)
    assert codec.decode(codec.encode(one)) == one
    assert (codec.encode(one) < codec.encode(other)) == (one < other)


@given(st.tuples(st.text(max_size=3), st.text(max_size=3)), st.text(max_size=3))
def test_a_tuple_prefix_selects_exactly_the_keys_with_these_first_items(key, first):
    codec = key_codec(tuple[str, str])
    assert codec.encode(key).startswith(codec.prefix((first,))) == (key[0] == first)


@pytest.mark.parametrize(
    "tp",
    [float, Decimal, datetime, timedelta, list[int], Order, tuple[int, ...], tuple[float, int], int | str, object],
    ids=str,
)
def test_types_without_an_order_of_bytes_are_no_keys(tp):
    with pytest.raises(NoCodec):
        key_codec(tp)


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abcd"), st.none() | st.integers(0, 9), max_size=3),
            st.dictionaries(st.sampled_from("abcd"), st.booleans(), max_size=2),
        ),
        max_size=12,
    )
)
@settings(max_examples=100, deadline=None)
def test_any_sequence_of_batches_equals_a_plain_dict(steps):
    """The model: a dict, and for each key the number of the batch that changed it last."""
    import asyncio

    async def play():
        tested, model, versions = MemoryMap(str, int), {}, {}
        for changes, right in steps:
            if_versions = {k: versions.get(k, 0) + (0 if ok else 1000) for k, ok in right.items()}
            expected = copy.copy(model)
            applied = await tested.apply(changes, if_versions)
            assert applied == all(right.values())
            if applied:
                expected.update(changes)
            model = {k: v for k, v in expected.items() if v is not None}
            assert await tested.items() == sorted(model.items())
            assert await tested.count() == len(model)
            versions = {k: (await tested.entry(k)).version for k in model}

    asyncio.run(play())
