"""What is fuzzed: each parser of bytes from outside, as a function that takes any bytes.

A target returns, or raises nothing at all: the errors that the parser promises are caught here, every other one is a
finding. `seeds` are inputs that reach far into it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping

import attrs

from aether.errors import BadInput
from aether.kv import keys
from aether.kv.commands import Apply, decode_payload, encode_command, stamped
from aether.kv.snapshot import decode_state
from aether.model.blueprint_toml import parse_blueprint
from aether.model.ids import ClusterUuid, Incarnation, NodeId
from aether.model.trace import parse_trace
from aether.node.messages_table import messages_table
from aether.security.identity import read_identity
from aether.security.join_token import read_token
from aether.slice_api.json_text import MsgspecJson, StandardJson
from aether.storage.record import BadRecord, read_record
from aether.web.checked_head import Refusal
from aether.web.connection import HttpConnection, Wait
from aether.web.fast_heads import HttptoolsHeads
from aether.web.ordinary import OrdinaryHeads
from aether.wire.frames import FrameDecoder, encode_frame
from aether.wire.lane import Lane
from aether.wire.session import AcceptingSession, DiallingSession, Hello, Identity, Refused

MESSAGES = messages_table()
STANDARD_JSON, MSGSPEC_JSON = StandardJson(), MsgspecJson()


@attrs.frozen
class Target:
    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def _identity(name: str) -> Identity:
    return Identity(
        store="s",
        node=NodeId(name),
        incarnation=Incarnation(f"{name}-1"),
        cluster="shop",
        cluster_uuid=ClusterUuid("u"),
        address="h:1",
    )


def frames(raw: bytes) -> None:
    """The stream of a peer that is inside: frames, and in them messages."""
    decoder = FrameDecoder()
    with contextlib.suppress(BadInput):
        for piece in itertools.batched(raw, 7) if hasattr(itertools, "batched") else (raw,):
            for payload in decoder.feed(bytes(piece)):
                message(payload)


def message(payload: bytes) -> None:
    with contextlib.suppress(BadInput):
        MESSAGES.decode(payload)


def hello(raw: bytes) -> None:
    """What a stranger sends to the cluster port."""
    session = AcceptingSession(_identity("a"), lambda _: None)
    with contextlib.suppress(Refused):
        session.feed(raw)


def welcome(raw: bytes) -> None:
    """What a node is told that dialled a stranger."""
    session = DiallingSession(Hello(_identity("a"), NodeId("b"), Lane.CONSENSUS))
    session.opening()
    with contextlib.suppress(Refused):
        session.feed(raw)


def http(reader: Callable[[], object]) -> Callable[[bytes], None]:
    """Requests of a client, cut in the middle, until one is refused."""

    def run(raw: bytes) -> None:
        numbers = itertools.count()
        connection = HttpConnection(
            new_request_id=lambda: str(next(numbers)), heads=reader(), header_bytes_max=4096, body_bytes_max=2**16
        )
        for piece in (raw[: len(raw) // 2], raw[len(raw) // 2 :]):
            connection.receive(piece)
            while not isinstance(step := connection.next(), Wait) or connection.is_behind:
                if isinstance(step, Refusal):
                    return

    return run


def blueprint(raw: bytes) -> None:
    with contextlib.suppress(BadInput):
        parse_blueprint(raw.decode(errors="replace"))


def key(raw: bytes) -> None:
    """A key that can be read spells itself again."""
    with contextlib.suppress(BadInput):
        text = raw.decode(errors="replace")
        assert keys.parse(text).text == text


def entry(raw: bytes) -> None:
    with contextlib.suppress(BadInput):
        decode_payload(raw)


def snapshot(raw: bytes) -> None:
    with contextlib.suppress(BadInput):
        decode_state((raw[:50], raw[50:]))


def record(raw: bytes) -> None:
    with contextlib.suppress(BadRecord):
        read_record(raw, 0, 0)


def credentials(raw: bytes) -> None:
    """Texts that say who somebody is."""
    text = raw.decode(errors="replace")
    for read in (read_identity, read_token):
        with contextlib.suppress(BadInput):
            read(text)


def json_text(raw: bytes) -> None:
    """A body that msgspec reads is the same to Python, and written by either it is so again."""
    read: list[object] = []
    for text in (STANDARD_JSON, MSGSPEC_JSON):
        try:
            read.append(text.read(raw))
        except (ValueError, RecursionError) as error:
            read.append(type(error))
    assert repr(read[0]) == repr(read[1])
    if not isinstance(read[0], type):
        with contextlib.suppress(ValueError, RecursionError):  # half a character, infinity
            assert repr(MSGSPEC_JSON.read(STANDARD_JSON.write(read[0]))) == repr(read[0])
            assert repr(STANDARD_JSON.read(MSGSPEC_JSON.write(read[0]))) == repr(read[0])


def trace(raw: bytes) -> None:
    parse_trace(*raw.decode(errors="replace").partition("\n")[::2])


_REQUESTS = (
    b"GET /stock/tea?x=%20 HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n",
    b"POST /orders HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /o HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
)
_TOML = b"""id = "shop:1"
[deployment]
mode = "atomic"
[[slices]]
artifact = "a.b:c:1.0.0"
instances = { min = 1, max = 3 }
"""
_HELLO = DiallingSession(Hello(_identity("b"), NodeId("a"), Lane.CALLS)).opening()

TARGETS: Mapping[str, Target] = {
    "frames": Target(frames, (encode_frame(b"\x93\x01\xa0\x90"), b"\x80\x00\x00\x01" + bytes(8))),
    "message": Target(message, tuple(bytes((0x93, tag, 0xA1, 0x31, 0x93, 1, 2, 3)) for tag in range(1, 100, 9))),
    "hello": Target(hello, (_HELLO, b"GET / HTTP/1.1\r\n\r\n")),
    "welcome": Target(welcome, (_HELLO, b"\x16\x03\x01")),
    "http, own reader": Target(http(OrdinaryHeads), _REQUESTS),
    "http, httptools": Target(http(HttptoolsHeads), _REQUESTS),
    "http, h11": Target(http(lambda: None), _REQUESTS),
    "blueprint": Target(blueprint, (_TOML,)),
    "key": Target(key, (b"instances/a.b:c:1.0.0/0123456789ab", b"maps/stock/a%20b", b"cluster")),
    "entry": Target(entry, (stamped(encode_command(Apply(1, 1, 0, (), (("maps/a/b", b"1"),))), 7),)),
    "snapshot": Target(snapshot, (b"\x92\x01\x90",)),
    "record": Target(record, (bytes(64),)),
    "credentials": Target(credentials, (b"aether://shop/node/n1", b"aether-join_x.y")),
    "json": Target(
        json_text, (b'{"sku": "a\\u00e9", "qty": [1, -0.5e3, null]}', b'{"a":{"a":[true,"\\ud83d\\ude00"]}}')
    ),
    "trace": Target(trace, (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\na=b",)),
}
