"""Who is let in: a node id comes back only with the store it left with."""

import pytest

from aether.errors import BadInput, IdentityMismatch
from aether.model.ids import Incarnation, NodeId, StoreId
from aether.model.rows import MemberRow
from aether.node.enrolment import admission, check_store
from aether.wire.lane import Lane
from aether.wire.session import Hello, Identity


class Rows:
    """The one read of the store that admission makes."""

    def __init__(self, row):
        self.row = row

    def get(self, key):
        if isinstance(self.row, Exception):
            raise self.row
        return self.row


def member(store):
    return MemberRow(node=NodeId("b"), incarnation=Incarnation("i"), store=StoreId(store))


def hello(store):
    identity = Identity(cluster="c", node=NodeId("b"), store=StoreId(store), incarnation=Incarnation("j"))
    return Hello(identity=identity, to=NodeId("a"), lane=Lane.CONSENSUS)


@pytest.mark.parametrize(
    ("known", "refusal"),
    [
        (None, ""),
        (member("s1"), ""),
        (member("s2"), "another data directory"),
        (BadInput("a row of nonsense"), "malformed"),
    ],
)
def test_a_peer_is_let_in_with_the_store_it_left_with(known, refusal):
    """A disk that was emptied or exchanged could vote twice in one term; a row of nonsense must not end this node."""
    said = admission(lambda: Rows(known))(hello("s1"))

    assert refusal in said
    assert bool(said) == bool(refusal)


def test_before_the_store_exists_nobody_is_refused():
    assert admission(lambda: None)(hello("s1")) == ""


def test_a_node_that_finds_itself_with_another_store_says_what_to_do():
    check_store(Rows(member("s1")), member("s1"))
    check_store(Rows(None), member("s1"))
    with pytest.raises(IdentityMismatch, match="--data-dir"):
        check_store(Rows(member("s2")), member("s1"))
