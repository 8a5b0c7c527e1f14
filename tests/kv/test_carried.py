"""What a new cluster may know of an old one."""

from __future__ import annotations

import pytest

from aether.kv import keys
from aether.kv.carried import DROPPED, KEPT, carried_over
from aether.kv.commands import OpenSession
from aether.kv.sessions import Session
from aether.kv.snapshot import State, decode_state, encode_pieces
from aether.kv.store import Store
from aether.model.artifact import ArtifactBase
from aether.model.ids import ClusterUuid, InstanceId, NodeId

BASE = ArtifactBase.parse("shop:orders")
ROWS = {
    keys.cluster.text: keys.cluster.encode(keys.ClusterRow(uuid=ClusterUuid("old"), name="n")),
    keys.leadership.text: b"x",
    keys.member(NodeId("a")).text: b"x",
    keys.desired(BASE).text: b"wish",
    keys.instance(BASE, InstanceId("i")).text: b"x",
    keys.routes(BASE).text: b"x",
    keys.unsatisfied(BASE).text: b"x",
    keys.blueprint("b", 1).text: b"text",
    keys.blueprint_current("b").text: b"\x01",
    keys.map_definition("m").text: keys.map_definition("m").encode(keys.MapRow()),
    keys.map_entry("m", b"k").text: b"value",
}


@pytest.fixture
def old() -> State:
    session = Session(5, OpenSession(NodeId("a"), "inc", 1), 1_000)
    rows = {key: (raw, 3) for key, raw in ROWS.items()}
    return State(9, 1_234, encode_hash(), sorted(rows), rows, [session])


def encode_hash() -> bytes:
    return decode_state(Store().freeze()).hash


def carried(old: State, revision: int = 100) -> State:
    return carried_over(old, uuid=ClusterUuid("new"), name="n", revision=revision)


def test_wishes_and_data_are_kept_and_facts_of_the_old_cluster_are_not(old):
    """A member, a session or an instance of the old cluster would be waited for, and trusted."""
    new = carried(old)
    heads = ("desired", "blueprints", "blueprint-current", "maps")
    assert {key: new.rows[key] for key in new.keys if key != "cluster"} == {
        key: (ROWS[key], 3) for key in ROWS if key.partition("/")[0] in heads
    }
    assert keys.cluster.decode(new.rows["cluster"][0]) == keys.ClusterRow(uuid=ClusterUuid("new"), name="n")
    assert list(new.sessions) == []


def test_a_store_can_begin_with_it_and_its_revision_never_goes_back(old):
    store = Store()
    store.restore(b"".join(encode_pieces(carried(old))), 100)
    assert store.revision == 100
    assert store.version("maps/m/k") == 3
    assert store.sessions() == []
    assert store.log_time_ms == old.log_time_ms
    assert store.map_usage("m").entries == 1
    with pytest.raises(AssertionError):
        carried(old, revision=9)


def test_the_state_hash_is_the_new_clusters_own(old):
    """Two clusters from one backup must not look alike by accident."""
    assert carried(old).hash != old.hash
    assert carried(old).hash != carried_over(old, uuid=ClusterUuid("x"), name="n", revision=100).hash


def test_every_kind_of_row_is_either_kept_or_dropped():
    """Whoever adds a kind of row decides here what becomes of it in another cluster."""
    assert {kind.head for kind in keys._TABLE} == KEPT | DROPPED
    assert not KEPT & DROPPED
