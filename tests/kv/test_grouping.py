"""Groups: fewer entries, the same outcomes, and still one value for a key and a version."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.consensus.entry import EntryKind, new_entry
from aether.errors import BadInput
from aether.kv.commands import (
    Apply,
    BatchResult,
    Group,
    OpenSession,
    Tag,
    decode_command,
    decode_payload,
    encode_command,
    encode_group,
    stamped,
)
from aether.kv.grouping import group
from aether.kv.store import Store
from aether.model.limits import GROUP_BYTES_MAX, GROUP_REQUESTS_MAX

KEYS = st.sampled_from([f"maps/m/{letter}" for letter in "abcdefgh"] + ["cluster", "leadership"])
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=5)), max_size=3).map(tuple)
COMPARES = st.lists(st.tuples(KEYS, st.integers(0, 6)), max_size=1).map(tuple)
BATCHES = st.lists(st.tuples(COMPARES, CHANGES), max_size=30)


def members_of(payload):
    """The requests in a payload, as any node reads them."""
    command = decode_payload(payload)[1]
    return list(command.requests) if isinstance(command, Group) else [command]


def proposed(batches, *, known=lambda at: True):
    """Payloads of requests with sequences from 1, and what the leader expects of them."""
    payloads, expected = [], {}
    for at, (compares, changes) in enumerate(batches):
        request = Apply(1, at + 1, 1, compares, changes)
        payload = stamped(encode_command(request), 10 + at)
        payloads.append(payload)
        if known(at):
            expected[payload] = (10 + at, request)
    return payloads, expected


def applied(payloads, *, expected=None):
    """A store with session 1 that has applied these, and the outcome of each request in order."""
    store, outcomes = Store(), []
    store.listen(lambda entries: outcomes.extend(entries.outcomes))
    for payload, (stamp_ms, command) in (expected or {}).items():
        store.expect(payload, stamp_ms, command)
    for payload in [stamped(encode_command(OpenSession("n", "i", 1)), 1), *payloads]:
        store.apply([new_entry(store.revision + 1, 1, EntryKind.COMMAND, payload)])
    return store, outcomes


@given(BATCHES, st.sets(st.integers(0, 29)))
def test_groups_keep_the_order_and_write_no_key_twice(batches, unknown):
    payloads, expected = proposed(batches, known=lambda at: at not in unknown)

    found = group(payloads, expected)

    assert [request.sequence for payload in found for request in members_of(payload)] == [
        at + 1 for at in range(len(batches))
    ]
    for payload in found:
        requests = members_of(payload)
        written = [{key for key, _ in request.changes} for request in requests]
        assert len(set().union(*written)) == sum(map(len, written))
        if len(requests) > 1:
            assert not {request.sequence - 1 for request in requests} & unknown
            assert expected[payload] == (9 + requests[-1].sequence, Group(tuple(requests)))


@given(BATCHES)
def test_requests_come_to_the_same_in_groups_as_alone(batches):
    """But for the compares: the number of a version depends on how many entries there were."""
    batches = [((), changes) for _, changes in batches]
    payloads, expected = proposed(batches)
    alone, alone_outcomes = applied(payloads)

    together, outcomes = applied(group(payloads, expected))

    assert [(o[1], o[2].applied) for o in outcomes] == [(o[1], o[2].applied) for o in alone_outcomes]
    assert [(key, row.value) for key, row in together.scan("")] == [(key, row.value) for key, row in alone.scan("")]


@given(BATCHES)
def test_the_leader_that_made_a_group_and_the_followers_that_read_it_agree(batches):
    payloads, expected = proposed(batches)
    found = group(payloads, expected)

    leader, outcomes = applied(found, expected=expected)
    follower, outcomes_there = applied(found)

    assert leader.state_hash == follower.state_hash
    assert leader.snapshot() == follower.snapshot()
    assert outcomes == outcomes_there


@given(BATCHES)
def test_a_key_and_a_version_name_one_value(batches):
    """Else a compare-and-set could pass over a change that it never saw."""
    payloads, expected = proposed(batches)
    store, seen = Store(), {}
    store.apply([new_entry(1, 1, EntryKind.COMMAND, stamped(encode_command(OpenSession("n", "i", 1)), 1))])

    for payload in group(payloads, expected):
        before = {key for key, _ in store.scan("")}
        store.apply([new_entry(store.revision + 1, 1, EntryKind.COMMAND, payload)])
        written = [key for request in members_of(payload) for key in dict(request.changes)]
        assert len(written) == len(set(written))
        for key, row in store.scan(""):
            assert seen.setdefault((key, row.version), row.value) == row.value
        assert {key for key, _ in store.scan("")} <= before | set(written)


def test_a_request_in_a_group_sees_what_those_before_it_wrote():
    """A group is decided in order; what it compares may have changed a moment before, in the same entry."""
    reads = Apply(1, 2, 1, (("maps/m/a", 0),), (("maps/m/b", b"2"),))
    writes = Apply(1, 1, 1, (), (("maps/m/a", b"1"),))
    payload = stamped(encode_group([encode_command(writes), encode_command(reads)]), 5)

    store, outcomes = applied([payload])

    assert outcomes == [
        (1, 1, BatchResult(True, 2, None)),
        (1, 2, BatchResult(False, 2, "maps/m/a")),
    ]
    assert store.get("maps/m/b") is None


def test_states_that_took_different_effect_from_the_same_entry_have_different_hashes():
    """The hash covers which requests of a group took effect, not only their bytes."""
    compared = Apply(1, 2, 1, (("cluster", 0),), (("maps/m/b", b"2"),))
    payload = stamped(
        encode_group([encode_command(Apply(1, 1, 1, (), (("maps/m/a", b"1"),))), encode_command(compared)]), 5
    )
    one, _ = applied([payload])
    other = Store()
    other.apply([new_entry(1, 1, EntryKind.COMMAND, stamped(encode_command(OpenSession("n", "i", 1)), 1))])
    other._values["cluster"], other._versions["cluster"] = b"x", 1
    other._keys.add("cluster")
    other.apply([new_entry(2, 1, EntryKind.COMMAND, payload)])

    assert one.state_hash != other.state_hash


def test_a_repeat_with_the_same_stamp_is_decided_once():
    """A forwarded request that came twice within a millisecond, with another one between."""
    first, second = Apply(1, 1, 1, (), (("cluster", b"1"),)), Apply(1, 2, 1, (), (("leadership", b"2"),))
    payloads = [stamped(encode_command(request), 3) for request in (first, second, first, second)]
    expected = {payloads[0]: (3, first), payloads[1]: (3, second)}

    found = group(payloads, expected)
    store, outcomes = applied(found, expected=expected)

    assert len(found) == 2
    assert outcomes == [
        (1, 1, BatchResult(True, 2, None)),
        (1, 2, BatchResult(True, 2, None)),
        (1, 1, BatchResult(True, 2, None)),
        (1, 2, BatchResult(True, 2, None)),
    ]
    assert store.version("cluster") == 2


def test_a_group_has_room_for_so_many_requests_and_so_many_bytes():
    many, expected = proposed([((), ((f"maps/m/{at}", b""),)) for at in range(2 * GROUP_REQUESTS_MAX + 1)])
    assert [len(members_of(payload)) for payload in group(many, expected)] == [
        GROUP_REQUESTS_MAX,
        GROUP_REQUESTS_MAX,
        1,
    ]

    half = bytes(GROUP_BYTES_MAX // 2)
    large, expected = proposed(
        [((), ((f"maps/m/{at}", value),)) for at, value in enumerate((half, half, b"", 3 * half))]
    )
    assert [len(members_of(payload)) for payload in group(large, expected)] == [1, 2, 1]


def test_what_was_grouped_can_be_grouped_again():
    """Proposals that the log had no room for wait with those that come later."""
    payloads, expected = proposed([((), ((f"maps/m/{at}", b""),)) for at in range(6)])

    first = group(payloads[:3], expected)
    found = group([*first, *payloads[3:]], expected)

    assert found[0] == first[0]
    assert [len(members_of(payload)) for payload in found] == [3, 3]


def test_the_bytes_of_a_group_are_fixed():
    commands = [encode_command(Apply(1, 2, 1, (), (("a", b"x"),))), encode_command(Apply(1, 3, 1, (), (("b", None),)))]
    assert encode_group(commands).hex() == "9204dc000296010102019091" + "92a161c401789601010301909192a162c0"


@pytest.mark.parametrize(
    "members",
    [
        [],
        [[Tag.OPEN_SESSION, "n", "i", 1]],
        [[Tag.GROUP, [[Tag.APPLY, 1, 1, 1, [], []]]]],
        [[Tag.APPLY, 1, 1, 1, [], [["ü", b""]]]],
        [[Tag.APPLY, 1, 1]],
        [7],
        "text",
        [[Tag.APPLY, 1, 1, 1, [], []]] * (GROUP_REQUESTS_MAX + 1),
    ],
)
def test_a_malformed_group_is_refused(members):
    with pytest.raises(BadInput):
        decode_command(msgpack.packb([Tag.GROUP, members]))
