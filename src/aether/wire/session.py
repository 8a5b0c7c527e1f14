"""The handshake: two strangers find out whether they may talk, before anything else is read.

Knows: who each side says it is; the order in which reasons to refuse are checked; hello, welcome and refusal as bytes.
Never: sockets, clocks (whoever drives it bounds it by HANDSHAKE_S), who is connected (asked through a function).
Holds: the dialling side speaks first and says nothing more before it is welcomed; every refusal has a code to count
       and a sentence for the operator of the other side.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import attrs

from aether.errors import BadInput, Rejected
from aether.model.ids import ClusterUuid, Incarnation, NodeId, StoreId, is_name
from aether.model.limits import HELLO_BYTES_MAX, PEERS_MAX
from aether.wire.frames import FrameDecoder, FrameTooLarge, encode_frame
from aether.wire.lane import Lane
from aether.wire.plain import pack, unpack

MAGIC: Final = "aether-cluster"
PROTOCOL_VERSION_MIN: Final = 1
PROTOCOL_VERSION_MAX: Final = 1
NO_UUID: Final = ClusterUuid("")
ANYBODY: Final = NodeId("")
_TEXT_CHARS_MAX: Final = 256
_REASON_CHARS_MAX: Final = 2_048
_COUNT_MAX: Final = 2**53


class RefusedCode(enum.StrEnum):
    """Why a handshake ended without a connection."""

    MALFORMED = "malformed"
    OTHER_CLUSTER = "other-cluster"
    VERSION = "version"
    WRONG_NODE = "wrong-node"
    SELF = "self"
    DUPLICATE_ID = "duplicate-id"
    INITIAL_PEERS = "initial-peers"
    NOT_ADMITTED = "not-admitted"
    REMOVED = "removed"
    CERTIFICATE = "certificate"


@attrs.define(eq=False)
class Refused(Rejected):
    """No connection. `reason` is a sentence for whoever reads the log of the refused side."""

    code: RefusedCode
    reason: str

    def __str__(self) -> str:
        return self.reason


def _sorted(ids: Iterable[NodeId]) -> tuple[NodeId, ...]:
    return tuple(sorted(ids))


@attrs.frozen(kw_only=True)
class Identity:
    """Who a node is, as it tells its peers.

    cluster       name of the cluster; cluster_uuid  "" until the first leader has given it one
    store         random id of its store; incarnation  random per process start
    boots         how often that store was opened, this time included; 0 when nobody counts
    address       host:port where peers reach it; "" when they need not dial back
    initial       the voters that founded its cluster; () when it joined, or joins, and does not know them
    version_min, version_max  protocol versions it speaks
    """

    cluster: str
    node: NodeId
    store: StoreId
    incarnation: Incarnation
    boots: int = 0
    cluster_uuid: ClusterUuid = NO_UUID
    address: str = ""
    initial: tuple[NodeId, ...] = attrs.field(default=(), converter=_sorted)
    version_min: int = PROTOCOL_VERSION_MIN
    version_max: int = PROTOCOL_VERSION_MAX

    @property
    def label(self) -> str:
        return f"{self.node} at {self.address or 'an unknown address'}"


@attrs.frozen
class Hello:
    """The dialling side: this is me, I want `lane` of the node `to`.

    to  ANYBODY of one that knows an address and not who is there: it is told, and the connection carries no more
    """

    identity: Identity
    to: NodeId
    lane: Lane


@attrs.frozen
class Welcome:
    """The accepting side: this is me, we speak `version`."""

    identity: Identity
    version: int


Admission = Callable[[Hello], str]
"""A further check by whoever assembles the node: "" lets the peer in, anything else is the reason to refuse it. It may
raise Refused with a code of its own instead."""


def everyone(hello: Hello) -> str:
    return ""


Vouch = Callable[[NodeId], None]
"""Raises Refused unless the node at the other end is the one that it says it is, as far as the connection can tell."""


def anyone(node: NodeId) -> None:
    """For connections that cannot tell."""


class DiallingSession:
    """The side that dialled: send `opening`, then feed what comes back."""

    def __init__(self, hello: Hello, vouch: Vouch = anyone) -> None:
        self._hello, self._vouch = hello, vouch
        self._decoder = FrameDecoder(HELLO_BYTES_MAX)

    def opening(self) -> bytes:
        """What to send first."""
        return _frame(_plain_hello(self._hello))

    def feed(self, data: bytes) -> Welcome | None:
        """The welcome, once complete; None while more is needed. Raises Refused, also for what cannot be understood."""
        plain = _only_frame(self._decoder, data)
        if plain is None:
            return None
        if "refused" in plain:
            raise Refused(_code(plain["refused"]), _text(plain, "reason", limit=_REASON_CHARS_MAX))
        welcome = Welcome(_identity(plain), _integer(plain, "version"))
        self._check(welcome)
        return welcome

    def _check(self, welcome: Welcome) -> None:
        mine, theirs = self._hello.identity, welcome.identity
        self._vouch(theirs.node)
        if self._hello.to not in (ANYBODY, theirs.node):
            raise Refused(
                RefusedCode.WRONG_NODE, f"dialled {self._hello.to}, but {theirs.label} answered; check --peers"
            )
        _check_cluster(mine, theirs)
        if not mine.version_min <= welcome.version <= mine.version_max:
            raise _version_refusal(mine, theirs)


class AcceptingSession:
    """The side that was dialled: feed what comes, then send `reply` whether it says welcome or not.

    live   the identity of the process now connected under a node id, None when there is none
    admit  a further check by the assembly
    vouch  set once the connection knows who is at its other end
    """

    def __init__(
        self, identity: Identity, live: Callable[[NodeId], Identity | None], admit: Admission = everyone
    ) -> None:
        self._identity, self._live, self._admit = identity, live, admit
        self._decoder = FrameDecoder(HELLO_BYTES_MAX)
        self._first = b""
        self.vouch: Vouch = anyone
        self.reply: bytes = b""

    def feed(self, data: bytes) -> Hello | None:
        """The hello, once complete and acceptable; None while more is needed.

        Raises Refused; `reply` then holds what to tell the peer, or nothing when it does not speak our protocol.
        """
        self._first = (self._first + data)[:16]
        try:
            hello = self._hello(data)
        except Refused as refused:
            if refused.code is RefusedCode.MALFORMED:
                raise Refused(
                    refused.code, f"{refused.reason}; it sent {self._first!r}{_guess(self._first)}"
                ) from refused
            reason = "".join(c if c.isprintable() else " " for c in refused.reason[:_REASON_CHARS_MAX])
            self.reply = _frame({"magic": MAGIC, "refused": refused.code.value, "reason": reason})
            raise
        if hello is not None:
            version = min(hello.identity.version_max, self._identity.version_max)
            self.reply = _frame({**_plain_identity(self._identity), "version": version})
        return hello

    def _hello(self, data: bytes) -> Hello | None:
        plain = _only_frame(self._decoder, data)
        if plain is None:
            return None
        identity = _identity(plain)
        to = ANYBODY if plain.get("to") == ANYBODY else NodeId(_name(plain, "to"))
        hello = Hello(identity, to, _lane(plain))
        self._check(hello)
        return hello

    def _check(self, hello: Hello) -> None:
        mine, theirs = self._identity, hello.identity
        self.vouch(theirs.node)  # first: whoever is not one of us is told nothing about us
        _check_cluster(mine, theirs)
        if max(mine.version_min, theirs.version_min) > min(mine.version_max, theirs.version_max):
            raise _version_refusal(mine, theirs)
        if theirs.node == mine.node:
            raise _same_id(mine, theirs)
        if hello.to not in (ANYBODY, mine.node):
            raise Refused(
                RefusedCode.WRONG_NODE, f"{theirs.node} dialled {hello.to}, but this is {mine.label}; check --peers"
            )
        self._check_duplicate(theirs)
        same_cluster = mine.cluster_uuid and mine.cluster_uuid == theirs.cluster_uuid
        if not same_cluster and mine.initial and theirs.initial and mine.initial != theirs.initial:
            raise Refused(
                RefusedCode.INITIAL_PEERS,
                f"{mine.node} was started with the nodes {', '.join(mine.initial)} but {theirs.node} with "
                f"{', '.join(theirs.initial)}; start all with the same --peers",
            )
        reason = self._admit(hello)
        if reason:
            raise Refused(RefusedCode.NOT_ADMITTED, reason)

    def _check_duplicate(self, theirs: Identity) -> None:
        live = self._live(theirs.node)
        if live is not None and live.incarnation != theirs.incarnation:
            raise Refused(
                RefusedCode.DUPLICATE_ID,
                f"two nodes have the id {theirs.node}: {live.address or 'an unknown address'} is connected to "
                f"{self._identity.node}, {theirs.address or 'an unknown address'} is refused; "
                "give the newcomer its own --node-id",
            )


# --- checks of both sides ---------------------------------------------------------------------------------------------


def _check_cluster(mine: Identity, theirs: Identity) -> None:
    if mine.cluster != theirs.cluster:
        raise Refused(
            RefusedCode.OTHER_CLUSTER,
            f"{theirs.label} is of the cluster {theirs.cluster!r}, {mine.label} of {mine.cluster!r}; check --peers",
        )
    if mine.cluster_uuid and theirs.cluster_uuid and mine.cluster_uuid != theirs.cluster_uuid:
        raise Refused(
            RefusedCode.OTHER_CLUSTER,
            f"{theirs.label} and {mine.label} belong to two clusters named {mine.cluster!r} "
            f"({theirs.cluster_uuid} and {mine.cluster_uuid}); one of them has the data directory of another cluster",
        )


def _version_refusal(mine: Identity, theirs: Identity) -> Refused:
    return Refused(
        RefusedCode.VERSION,
        f"{theirs.label} speaks protocol versions {theirs.version_min} to {theirs.version_max}, {mine.label} "
        f"{mine.version_min} to {mine.version_max}; upgrade the older one",
    )


def _same_id(mine: Identity, theirs: Identity) -> Refused:
    if mine.incarnation == theirs.incarnation:
        return Refused(
            RefusedCode.SELF, f"{mine.node} dialled itself; remove {mine.address or 'its address'} from --peers"
        )
    return Refused(
        RefusedCode.DUPLICATE_ID,
        f"two nodes have the id {mine.node}: this one at {mine.address or 'an unknown address'}, and the one at "
        f"{theirs.address or 'an unknown address'}, which is refused; give one of them its own --node-id",
    )


def _guess(first: bytes) -> str:
    if first.split(b" ")[0] in {b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT"}:
        return " (an HTTP request: this port is for nodes only; use the HTTP or management port)"
    if first.startswith(b"\x16\x03"):
        return " (a TLS client: this node was started without TLS)"
    return ""


# --- spelling ---------------------------------------------------------------------------------------------------------
# Maps with text keys, unknown keys ignored: a hello must be understood by every version, older and newer.


def _frame(plain: dict[str, object]) -> bytes:
    return encode_frame(pack(plain))


def _plain_identity(identity: Identity) -> dict[str, object]:
    return {
        "magic": MAGIC,
        "cluster": identity.cluster,
        "cluster_uuid": identity.cluster_uuid,
        "node": identity.node,
        "store": identity.store,
        "incarnation": identity.incarnation,
        "boots": identity.boots,
        "address": identity.address,
        "initial": list(identity.initial),
        "version_min": identity.version_min,
        "version_max": identity.version_max,
    }


def _plain_hello(hello: Hello) -> dict[str, object]:
    return {**_plain_identity(hello.identity), "to": hello.to, "lane": int(hello.lane)}


def _only_frame(decoder: FrameDecoder, data: bytes) -> dict[str, Any] | None:
    try:
        payloads = list(decoder.feed(data))
    except BadInput as error:
        what = "it does not speak this protocol" if isinstance(error, FrameTooLarge) else str(error)
        raise Refused(RefusedCode.MALFORMED, what) from error
    if not payloads:
        return None
    if len(payloads) > 1 or not decoder.is_empty:
        raise Refused(RefusedCode.MALFORMED, "it sent more than a handshake before it was answered")
    try:
        plain = unpack(payloads[0])
    except (ValueError, TypeError) as error:
        raise Refused(RefusedCode.MALFORMED, f"its handshake is no msgpack: {error}") from error
    if not isinstance(plain, dict) or cast("dict[object, object]", plain).get("magic") != MAGIC:
        raise Refused(RefusedCode.MALFORMED, "its handshake does not begin as ours")
    return cast("dict[str, Any]", plain)


def _identity(plain: dict[str, Any]) -> Identity:
    initial = plain.get("initial", [])
    if not isinstance(initial, list) or len(cast("list[object]", initial)) > PEERS_MAX:
        raise Refused(RefusedCode.MALFORMED, "the field initial of its handshake is no list of node ids")
    voters = cast("list[object]", initial)
    if not all(isinstance(voter, str) and is_name(voter) for voter in voters):
        raise Refused(RefusedCode.MALFORMED, "the field initial of its handshake is no list of node ids")
    return Identity(
        cluster=_name(plain, "cluster"),
        cluster_uuid=ClusterUuid(_text(plain, "cluster_uuid")),
        node=NodeId(_name(plain, "node")),
        store=StoreId(_text(plain, "store")),
        incarnation=Incarnation(_text(plain, "incarnation")),
        boots=_integer(plain, "boots", _COUNT_MAX) if "boots" in plain else 0,
        address=_text(plain, "address"),
        initial=tuple(NodeId(cast("str", voter)) for voter in voters),
        version_min=_integer(plain, "version_min"),
        version_max=_integer(plain, "version_max"),
    )


def _text(plain: dict[str, Any], key: str, limit: int = _TEXT_CHARS_MAX) -> str:
    value = plain.get(key)
    if not isinstance(value, str) or len(value) > limit or not (value.isprintable()):
        raise Refused(
            RefusedCode.MALFORMED, f"the field {key} of its handshake is no printable text of {limit} characters"
        )
    return value


def _name(plain: dict[str, Any], key: str) -> str:
    value = _text(plain, key)
    if not is_name(value):
        raise Refused(RefusedCode.MALFORMED, f"the field {key} of its handshake is no name: {value!r}")
    return value


def _integer(plain: dict[str, Any], key: str, high: int = 0xFFFF) -> int:
    value = plain.get(key)
    if type(value) is not int or not 0 <= value <= high:
        raise Refused(RefusedCode.MALFORMED, f"the field {key} of its handshake is no number from 0 to {high}")
    return value


def _lane(plain: dict[str, Any]) -> Lane:
    try:
        return Lane(_integer(plain, "lane"))
    except ValueError as error:
        raise Refused(RefusedCode.MALFORMED, "the field lane of its handshake names no lane") from error


def _code(value: object) -> RefusedCode:
    try:
        return RefusedCode(cast("str", value))
    except ValueError:
        return RefusedCode.NOT_ADMITTED  # a newer version has a reason of its own; its sentence says which
