"""What a leader tells whom in one second."""

from array import array
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from aether.metrics.figures_messages import NodeFigures
from aether.metrics.passing import Parcels, Rows, Turns, Waiting, round_s, server_of
from aether.model.ids import NodeId
from aether.model.limits import FIGURES_EVERY_S


@given(st.integers(1, 40), st.integers(1, 40))
def test_all_nodes_have_a_turn_before_one_has_a_second(nodes, count):
    turns, everybody = Turns(), [NodeId(f"n{n:02}") for n in range(nodes)]
    rounds = -(-nodes // min(count, nodes))
    seen = [node for _ in range(rounds) for node in turns.take(everybody, count)]

    assert set(seen) == set(everybody)
    assert len(seen) < nodes + count


def test_nodes_that_come_and_go_disturb_nobodys_turn():
    turns = Turns()
    a, b, c, d = (NodeId(name) for name in "abcd")
    assert list(turns.take([a, b, c], 2)) == [a, b]
    assert list(turns.take([a, c, d], 2)) == [c, d]
    assert list(turns.take([a, c, d], 2)) == [a, c]


NAMES = st.sets(st.integers(0, 999).map(lambda n: NodeId(f"n{n:03}")), min_size=1, max_size=60)


@given(NAMES, st.data())
def test_workers_share_the_voters_evenly_and_the_leader_has_none(names, data):
    ordered = sorted(names)
    voters = set(data.draw(st.lists(st.sampled_from(ordered), min_size=1, max_size=7)))
    leader = data.draw(st.sampled_from([None, *sorted(voters)]))
    workers = sorted(names - voters)
    chosen = Counter(server_of(node, names - {node}, voters, leader) for node in workers)

    assert set(chosen) <= voters
    if voters != {leader}:
        assert leader is None or leader not in chosen
        able = len(voters - {leader})
        assert all(count <= -(-len(workers) // able) for count in chosen.values())


def test_a_worker_that_reaches_no_voter_tells_nobody():
    assert server_of(NodeId("w"), [NodeId("x")], [NodeId("v")], NodeId("v")) is None


def row(node, at_s):
    return Waiting(NodeId(node), int(at_s * 1e3), at_s, array("f"))


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 50)), max_size=60), st.integers(1, 10))
def test_the_newest_row_of_each_node_goes_first_and_nothing_twice(puts, count):
    rows, newest = Rows(), {}
    for node, at in puts:
        rows.put(row(node, float(at)))
        newest[node] = max(newest.get(node, 0), at)
    passed, first = [], {}
    while taken := rows.take(count):
        assert len(taken) <= count
        for each in taken:
            first.setdefault(each.node, each.at_s)
        passed += [(each.node, each.stamp) for each in taken]

    assert first == newest
    assert len(set(passed)) == len(passed)
    assert len(rows) == 0


@given(st.integers(1, 60), st.integers(1, 20))
def test_each_of_many_nodes_is_heard_of_once_in_a_round(nodes, count):
    rows, heard = Rows(), Counter()
    rounds = -(-nodes // count)
    for second in range(3 * rounds):
        for node in range(nodes):
            rows.put(row(f"n{node:02}", float(second)))
        heard.update(each.node for each in rows.take(count))

    assert len(heard) == nodes
    assert min(heard.values()) >= 2


@given(st.integers(0, 255))
def test_a_round_ends(nodes):
    assert FIGURES_EVERY_S <= round_s(nodes) <= 16
    assert round_s(16) == FIGURES_EVERY_S


def test_a_row_grows_older_while_it_waits():
    told = NodeFigures(NodeId("a"), 1, 0.5, array("f"))

    assert Waiting.since(told, 10.0).told(12.0).age_s == 2.5


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 400)), max_size=40),
    st.integers(1, 500),
    st.integers(1, 9),
)
def test_parcels_are_bounded_and_passed_once_oldest_first(puts, room, count):
    parcels = Parcels(1000)
    newest: dict[str, int] = {}
    for node, size in puts:
        parcels.put(NodeId(node), bytes(size))
        newest[node] = size
        assert parcels.size_bytes <= 1000
    passed = []
    while taken := parcels.take(room, count):
        assert len(taken) <= count
        assert len(taken) == 1 or sum(len(parcel) for _, parcel in taken) <= room
        passed += taken

    assert len({node for node, _ in passed}) == len(passed)
    assert all(newest[node] == len(parcel) for node, parcel in passed)
    assert parcels.size_bytes == 0
