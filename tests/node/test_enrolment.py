"""Who is let in: a node id comes back only with the store it left with, not as an older copy, and not once removed."""

import attrs
import pytest

from aether.errors import BadInput, IdentityMismatch, Removed
from aether.kv import keys
from aether.model.ids import Incarnation, NodeId, StoreId
from aether.model.rows import MemberRow, RemovedRow
from aether.node.enrolment import admission, check_member, ending
from aether.wire.lane import Lane
from aether.wire.session import Hello, Identity, Refused, RefusedCode

B = NodeId("b")
REMOVED = RemovedRow(node=B)


class Rows:
    """The reads that admission makes."""

    def __init__(self, row, removed=None):
        self.rows = {keys.member(B): row, keys.removed(B): removed}

    def get(self, key):
        row = self.rows[key]
        if isinstance(row, Exception):
            raise row
        return row


def member(store="s1", boots=0, incarnation="i"):
    return MemberRow(node=B, incarnation=Incarnation(incarnation), store=StoreId(store), boots=boots)


def hello(**changes):
    identity = Identity(cluster="c", node=B, store=StoreId("s1"), incarnation=Incarnation("j"))
    return Hello(identity=attrs.evolve(identity, **changes), to=NodeId("a"), lane=Lane.CONSENSUS)


@pytest.mark.parametrize(
    ("known", "changes", "refusal"),
    [
        (None, {}, ""),
        (member(), {}, ""),
        (member(""), {}, ""),  # announced by an operator, and never seen yet
        (member("s2"), {}, "another data directory"),
        (member(boots=4), {"boots": 5}, ""),
        (member(boots=4, incarnation="j"), {"boots": 4}, ""),  # the very process that wrote the row
        (member(boots=4), {"boots": 4}, "older copy"),
        (member(boots=4), {"boots": 3}, "start 3 of it, and the cluster has seen start 4"),
        (member(boots=4), {"boots": 0}, ""),  # in memory nobody counts
        (BadInput("a row of nonsense"), {}, "malformed"),
    ],
)
def test_b30_a_peer_is_let_in_with_the_store_it_left_with(known, changes, refusal):
    """A disk that was emptied, exchanged or rolled back could vote twice; a row of nonsense must not end this node."""
    said = admission(lambda: Rows(known))(hello(**changes))

    assert refusal in said
    assert bool(said) == bool(refusal)


def test_a_removed_node_is_refused_once_its_row_is_gone():
    """Until then it hands its work over, and has to be heard."""
    assert admission(lambda: Rows(member(), REMOVED))(hello()) == ""
    with pytest.raises(Refused, match="never used again") as refused:
        admission(lambda: Rows(None, REMOVED))(hello())

    assert refused.value.code is RefusedCode.REMOVED


def test_before_the_store_exists_nobody_is_refused():
    assert admission(lambda: None)(hello()) == ""


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (Rows(member("s2")), IdentityMismatch),
        (Rows(member(boots=2, incarnation="k")), IdentityMismatch),
        (Rows(None, REMOVED), Removed),
    ],
)
def test_a_node_that_finds_itself_refused_says_what_to_do(rows, error):
    """The command that mends it stands in the message: remove, then join under another id."""
    with pytest.raises(error, match=r"--join HOST:PORT.*--node-id.*--data-dir"):
        check_member(rows, member(boots=1))


@pytest.mark.parametrize(
    ("code", "ready", "newcomer", "ends"),
    [
        (RefusedCode.DUPLICATE_ID, False, False, True),
        (RefusedCode.DUPLICATE_ID, True, False, False),
        (RefusedCode.NOT_ADMITTED, False, True, True),
        (RefusedCode.OTHER_CLUSTER, False, True, True),  # whom to join was mistyped
        (RefusedCode.OTHER_CLUSTER, False, False, False),  # an address that somebody else has now
        (RefusedCode.VERSION, False, True, False),
        (RefusedCode.REMOVED, True, False, True),
        (RefusedCode.REMOVED, False, True, True),
    ],
)
def test_which_refusals_end_a_node(code, ready, newcomer, ends):
    """A stranger at a peer's address must not be able to end a node that works."""
    error = ending(B, NodeId("a"), Refused(code, "because"), ready=ready, newcomer=newcomer)

    assert (error is not None) == ends
    assert isinstance(error, Removed) == (code is RefusedCode.REMOVED)
