"""Joining on the wire, and what either side does with strangers, floods and lies."""

import attrs
import msgpack
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from aether.consensus.status import ConsensusStatus
from aether.errors import BadInput, IdentityMismatch, Removed
from aether.kv import keys
from aether.model.ids import Incarnation, NodeId, StoreId
from aether.model.rows import MemberRow
from aether.node.join_messages import MESSAGES, ROW_BYTES_MAX, JoinReply, JoinRequest
from aether.node.joining import REQUESTS_WAITING_MAX, Applicant, Registrar

NAMES = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
ANY = st.one_of(
    st.builds(JoinRequest, st.binary(max_size=40)),
    st.builds(
        JoinReply, st.text(max_size=9), st.booleans(), st.lists(st.tuples(NAMES, st.text(max_size=9))).map(tuple)
    ),
)


@given(ANY)
def test_a_message_survives_the_wire(message):
    ((encode, decode),) = [row[1:] for row in MESSAGES.values() if row[0] is type(message)]

    assert decode(msgpack.unpackb(msgpack.packb(encode(message)))) == message


def test_golden_messages():
    """The bytes as they were when they were defined: nodes of several releases meet in one cluster."""
    messages = [JoinRequest(b"row"), JoinReply("", False, ((NodeId("n1"), "h:1"),)), JoinReply("no", True, ())]
    spelt = {cls: (tag, encode) for tag, (cls, encode, _) in MESSAGES.items()}

    assert [(spelt[type(m)][0], msgpack.packb(spelt[type(m)][1](m)).hex()) for m in messages] == [
        (90, "91c403726f77"),
        (91, "93a0c29192a26e31a3683a31"),
        (91, "93a26e6fc390"),
    ]


@pytest.mark.parametrize(
    ("tag", "fields"),
    [
        (90, []),
        (90, ["text"]),
        (90, [b"", b""]),
        (90, [bytes(ROW_BYTES_MAX + 1)]),
        (91, ["", False]),
        (91, ["", 0, []]),
        (91, [b"", False, []]),
        (91, ["x" * 5_000, False, []]),
        (91, ["", False, [["n1"]]]),
        (91, ["", False, [["n 1", "h:1"]]]),
        (91, ["", False, [["n1", 5]]]),
        (91, ["", False, "n1"]),
        (91, ["", False, [["n1", "h:1"]] * 1_000]),
    ],
)
def test_a_malformed_message_is_refused(tag, fields):
    """A stranger may send anything."""
    with pytest.raises(BadInput):
        MESSAGES[tag][2](fields)


# --- a member's side --------------------------------------------------------------------------------------------------


class Mail:
    def __init__(self, *connected):
        self.peers, self.sent, self.remembered = set(connected), [], {}

    def send(self, to, message, request_id=""):
        self.sent.append((to, message))
        return True

    def connected(self):
        return self.peers

    def remember_peer(self, node, address):
        if ":" not in address:
            raise BadInput(f"{address!r} is no address")
        self.remembered[node] = address


def row(node="n2", store="s2"):
    return MemberRow(node=NodeId(node), incarnation=Incarnation("i"), store=StoreId(store), cluster_address="h:2")


async def test_a_member_answers_only_for_the_sender_itself(autojump_clock, group):
    """Who could announce others could fill the group with names, or take the name of a member."""
    await group.grow(1)
    mail = Mail()
    registrar = Registrar(group.node("n1").kv, mail)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(registrar.run)
        registrar.deliver("n2", JoinRequest(keys.member("n3").encode(row("n3"))))
        registrar.deliver("n2", JoinRequest(b"nonsense"))
        registrar.deliver("n2", JoinRequest(keys.member("n2").encode(row("n2"))))
        registrar.deliver("n2", JoinRequest(keys.member("n2").encode(row("n2", "another disk"))))
        await group.until(lambda: len(mail.sent) == 4)
        nursery.cancel_scope.cancel()
    replies = [message for _, message in mail.sent]

    assert "asks to join as n3" in replies[0].refused
    assert "malformed" in replies[1].refused
    assert replies[2].refused == ""
    assert (NodeId("n2"), "h:2") in replies[2].peers
    assert "another data directory" in replies[3].refused
    assert group.node("n1").kv.get(keys.member("n3")) is None


async def test_a_flood_of_requests_is_bounded(autojump_clock, group, caplog):
    await group.grow(1)
    registrar = Registrar(group.node("n1").kv, Mail())
    for number in range(REQUESTS_WAITING_MAX + 5):
        registrar.deliver(f"x{number}", JoinRequest(b""))

    assert sum("has to ask again" in record.message for record in caplog.records) == 5


# --- a newcomer's side ------------------------------------------------------------------------------------------------


def applicant(mail):
    status = ConsensusStatus(node=NodeId("n2"))

    async def status_changed(since):
        await trio.sleep_forever()

    return Applicant(NodeId("n2"), mail, row, lambda: status, status_changed)


async def test_a_newcomer_asks_one_after_another_until_somebody_takes_it_in(autojump_clock):
    """The first that it reaches may be cut off from the leader."""
    mail = Mail("n1", "n3")
    with trio.move_on_after(2.2):
        await applicant(mail).join()

    assert [to for to, _ in mail.sent] == ["n1", "n3", "n1", "n3", "n1"]
    assert keys.member("n2").decode(mail.sent[0][1].row) == attrs.evolve(row(), joining=True)


@pytest.mark.parametrize(("is_removed", "kind"), [(False, IdentityMismatch), (True, Removed)])
async def test_a_refusal_ends_the_newcomer_with_its_words(autojump_clock, is_removed, kind):
    asks = applicant(Mail("n1"))
    asks.deliver("n1", JoinReply("its disk was lost", is_removed, ()))

    with pytest.raises(kind, match=r"n1 does not take n2 in\. its disk was lost"):
        await asks.join()


async def test_addresses_that_cannot_be_dialled_are_passed_over(autojump_clock):
    mail = Mail("n1")
    applicant(mail).deliver("n1", JoinReply("", False, (("n1", "h:1"), ("n2", "h:2"), ("n3", "nowhere"), ("n4", ""))))

    assert mail.remembered == {"n1": "h:1"}


async def test_who_reaches_nobody_says_so_once(autojump_clock, caplog):
    """A mistyped address is the most common reason."""
    with trio.move_on_after(60):
        await applicant(Mail()).join()

    assert sum("reaches no member yet" in record.message for record in caplog.records) == 1
