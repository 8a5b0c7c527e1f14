"""Handshakes as conversations: who may talk to whom, and what the refused side is told."""

import attrs
import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.model.limits import HELLO_BYTES_MAX
from aether.wire.frames import encode_frame
from aether.wire.lane import Lane
from aether.wire.session import ANYBODY, AcceptingSession, DiallingSession, Hello, Identity, Refused, RefusedCode

A = Identity(cluster="shop", node="a", store="sa", incarnation="ia", address="10.0.0.1:8090", initial=("a", "b"))
B = Identity(cluster="shop", node="b", store="sb", incarnation="ib", address="10.0.0.2:8090", initial=("a", "b"))


def converse(
    dialler: Identity, acceptor: Identity, *, to: str = "b", live: Identity | None = None, admit=lambda hello: ""
):
    """The whole handshake: (what the acceptor accepted, what the dialler got); either is a Refused when refused."""
    dialling = DiallingSession(Hello(dialler, to, Lane.CALLS))
    accepting = AcceptingSession(acceptor, lambda node: live, admit)
    try:
        accepted = accepting.feed(dialling.opening())
    except Refused as refused:
        accepted = refused
    try:
        got = dialling.feed(accepting.reply)
    except Refused as refused:
        got = refused
    return accepted, got


def test_two_nodes_of_one_cluster_introduce_themselves():
    """Each side ends with the identity that the other one has."""
    accepted, welcome = converse(A, B)

    assert accepted == Hello(A, "b", Lane.CALLS)
    assert welcome.identity == B
    assert welcome.version == 1


REFUSALS = [
    # what the dialler is, what it dials, who is connected, code, words of the message
    ({"cluster": "bank"}, "b", None, RefusedCode.OTHER_CLUSTER, ["'bank'", "'shop'", "10.0.0.1:8090", "--peers"]),
    ({"cluster_uuid": "u2"}, "b", None, RefusedCode.OTHER_CLUSTER, ["two clusters named 'shop'", "u2", "u1"]),
    ({"version_min": 8, "version_max": 9}, "b", None, RefusedCode.VERSION, ["8 to 9", "1 to 1", "upgrade the older"]),
    ({"version_min": 0, "version_max": 0}, "b", None, RefusedCode.VERSION, ["0 to 0"]),
    ({}, "c", None, RefusedCode.WRONG_NODE, ["a dialled c", "this is b at 10.0.0.2:8090"]),
    ({"node": "b"}, "b", None, RefusedCode.DUPLICATE_ID, ["id b", "10.0.0.1:8090", "10.0.0.2:8090", "--node-id"]),
    ({"node": "b", "incarnation": "ib"}, "b", None, RefusedCode.SELF, ["b dialled itself", "--peers"]),
    ({"node": "b", "incarnation": "ib"}, "c", None, RefusedCode.SELF, ["b dialled itself"]),
    ({"initial": ("a", "b", "x")}, "b", None, RefusedCode.INITIAL_PEERS, ["a, b", "a, b, x", "same --peers"]),
    (
        {},
        "b",
        attrs.evolve(A, incarnation="older", address="10.0.0.9:8090"),
        RefusedCode.DUPLICATE_ID,
        ["two nodes have the id a", "10.0.0.9:8090 is connected", "10.0.0.1:8090 is refused", "--node-id"],
    ),
]


@pytest.mark.parametrize(("change", "to", "live", "code", "words"), REFUSALS, ids=lambda v: str(v)[:40])
def test_b31_a_stranger_is_refused_with_a_reason_that_both_sides_read(change, to, live, code, words):
    """The operator of the refused node sees only its own log."""
    acceptor = attrs.evolve(B, cluster_uuid="u1")
    accepted, got = converse(attrs.evolve(A, **change), acceptor, to=to, live=live)

    assert isinstance(accepted, Refused)
    assert isinstance(got, Refused)
    assert accepted.code is got.code is code
    assert accepted.reason == got.reason
    assert [word for word in words if word not in got.reason] == []


@pytest.mark.parametrize(
    "change",
    [{"cluster_uuid": ""}, {"initial": ()}, {"version_max": 7}, {"initial": ("b", "a")}],
    ids=["uuid not known yet", "joins without voters", "newer but compatible", "voters in another order"],
)
def test_what_is_not_known_yet_or_compatible_is_no_reason(change):
    """A node that joins, or is newer, must get in."""
    accepted, welcome = converse(attrs.evolve(A, **change), attrs.evolve(B, cluster_uuid="u1"))

    assert isinstance(accepted, Hello)
    assert welcome.version == 1


def test_who_knows_only_an_address_is_told_who_is_there():
    """A node that joins is given host and port of any member."""
    accepted, welcome = converse(attrs.evolve(A, initial=(), boots=3), B, to=ANYBODY)

    assert accepted == Hello(attrs.evolve(A, initial=(), boots=3), ANYBODY, Lane.CALLS)
    assert welcome.identity == B


def test_founders_are_compared_only_until_both_know_the_cluster():
    """Afterwards the uuid says more: members that joined later may have been told other founders."""
    one, other = attrs.evolve(A, cluster_uuid="u"), attrs.evolve(B, cluster_uuid="u", initial=("b", "c"))

    assert converse(one, other)[1].identity == other
    assert converse(A, other)[0].code is RefusedCode.INITIAL_PEERS


def test_the_assembly_may_refuse_with_a_code_of_its_own():
    def admit(hello):
        raise Refused(RefusedCode.REMOVED, "a was removed")

    accepted, got = converse(A, B, admit=admit)

    assert accepted.code is got.code is RefusedCode.REMOVED
    assert got.reason == "a was removed"


def test_a_second_lane_of_the_same_process_is_no_duplicate():
    """Each peer has three connections."""
    accepted, _ = converse(A, B, live=A)

    assert isinstance(accepted, Hello)


def test_the_assembly_may_refuse_for_a_reason_of_its_own():
    """Store ids are remembered by the replicated store, which this room does not know."""
    _, got = converse(A, B, admit=lambda hello: f"{hello.identity.store} is not the store that a had")

    assert got.code is RefusedCode.NOT_ADMITTED
    assert got.reason == "sa is not the store that a had"


def test_a_reason_of_any_length_and_content_reaches_the_other_side():
    """A reason too long for its frame would look like a broken peer."""
    _, got = converse(A, B, admit=lambda hello: "line one\n" + "é" * 5_000)

    assert got.code is RefusedCode.NOT_ADMITTED
    assert got.reason.startswith("line one é")


@pytest.mark.parametrize("change", [{"node": "x"}, {"cluster": "bank"}], ids=["another node", "another cluster"])
def test_the_dialler_checks_who_answers(change):
    """An address may have been given to somebody else since it was written down."""
    impostor = AcceptingSession(attrs.evolve(B, **change), lambda node: None)
    impostor._check = lambda hello: None  # it welcomes anybody
    dialling = DiallingSession(Hello(A, "b", Lane.CALLS))
    impostor.feed(dialling.opening())

    with pytest.raises(Refused):
        dialling.feed(impostor.reply)


def test_a_welcome_in_a_version_we_did_not_offer_is_refused():
    """It would be read by the wrong rules."""
    reply = msgpack.packb({**_plain(B), "version": 3})

    with pytest.raises(Refused, match="versions 1 to 1") as caught:
        DiallingSession(Hello(A, "b", Lane.CALLS)).feed(encode_frame(reply))
    assert caught.value.code is RefusedCode.VERSION


def test_a_reason_unknown_to_us_is_still_told():
    """A newer version may refuse for reasons that we have no code for."""
    reply = msgpack.packb({"magic": "aether-cluster", "refused": "phase-of-the-moon", "reason": "wait for Thursday"})

    with pytest.raises(Refused, match="wait for Thursday"):
        DiallingSession(Hello(A, "b", Lane.CALLS)).feed(encode_frame(reply))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "an HTTP request: this port is for nodes only"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "a TLS client: this node was started without TLS"),
        ((HELLO_BYTES_MAX + 1).to_bytes(4, "big"), "does not speak this protocol"),
        (encode_frame(b"\xc1"), "no msgpack"),
        (encode_frame(msgpack.packb([1])), "does not begin as ours"),
        (encode_frame(msgpack.packb({"magic": "aether-cluster"})), "the field cluster"),
    ],
)
def test_what_is_no_handshake_is_named_and_not_answered(data, words):
    """The log line is what tells an operator that a browser was pointed at the wrong port."""
    session = AcceptingSession(B, lambda node: None)

    with pytest.raises(Refused) as caught:
        session.feed(data)
    assert caught.value.code is RefusedCode.MALFORMED
    assert words in caught.value.reason
    assert repr(data[:16]) in caught.value.reason
    assert session.reply == b""


def _plain(identity: Identity) -> dict[str, object]:
    return {**attrs.asdict(identity), "magic": "aether-cluster", "initial": list(identity.initial)}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cluster", "no spaces allowed"),
        ("cluster", 5),
        ("node", ""),
        ("node", "n" * 64),
        ("store", None),
        ("incarnation", "x\ny"),
        ("address", "x" * 257),
        ("initial", "ab"),
        ("initial", ["a", 5]),
        ("initial", ["a"] * 300),
        ("version_min", -1),
        ("version_min", True),
        ("version_max", "1"),
        ("to", None),
        ("lane", 3),
        ("lane", None),
    ],
)
def test_each_field_of_a_hello_is_checked(key, value):
    """They end in log lines, dictionaries and dialled addresses."""
    plain = {**_plain(A), "to": "b", "lane": 1, key: value}

    with pytest.raises(Refused, match=f"the field {key} of its handshake") as caught:
        AcceptingSession(B, lambda node: None).feed(encode_frame(msgpack.packb(plain)))
    assert caught.value.code is RefusedCode.MALFORMED


def test_bytes_behind_the_hello_are_refused():
    """The dialler waits for its welcome; what talks on is something else."""
    opening = DiallingSession(Hello(A, "b", Lane.CALLS)).opening()

    with pytest.raises(Refused, match="more than a handshake"):
        AcceptingSession(B, lambda node: None).feed(opening + b"x")


def test_a_hello_may_arrive_in_pieces():
    """TCP cuts where it likes."""
    opening = DiallingSession(Hello(A, "b", Lane.BULK)).opening()
    session = AcceptingSession(B, lambda node: None)

    answers = [session.feed(opening[i : i + 1]) for i in range(len(opening))]

    assert answers[:-1] == [None] * (len(opening) - 1)
    assert answers[-1] == Hello(A, "b", Lane.BULK)


HOSTILE = st.binary(max_size=60) | st.dictionaries(
    st.sampled_from(["magic", "cluster", "node", "initial", "lane", "refused", "reason", "version"]),
    st.none()
    | st.integers(-2, 2)
    | st.text(max_size=4)
    | st.just("aether-cluster")
    | st.lists(st.integers(0, 9), max_size=2),
).map(lambda plain: encode_frame(msgpack.packb({"magic": "aether-cluster", **plain})))


@given(st.lists(HOSTILE, max_size=3), st.booleans())
@settings(max_examples=300, deadline=None)
def test_hostile_handshakes_end_in_refused_and_nothing_else(pieces, dialled):
    """Strangers reach this code before anything is known about them."""
    session = DiallingSession(Hello(A, "b", Lane.CALLS)) if dialled else AcceptingSession(B, lambda node: None)
    for piece in pieces:
        try:
            assert session.feed(piece) is None
        except Refused:
            return
