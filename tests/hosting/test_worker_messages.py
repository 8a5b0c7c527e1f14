"""What a node and its worker say to each other, as bytes: what is written is read, and nothing else is."""

import contextlib
import logging
import socket
import threading

import msgpack
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from aether import errors
from aether.errors import BadInput, NoInstance, OutcomeUnknown, Overloaded, QuotaExceeded
from aether.hosting.given import Bound, Shared, Text, decode_given, encode_given
from aether.hosting.worker_errors import decode_error, encode_error, is_spelt, said_error, spelt_error
from aether.hosting.worker_link import Link
from aether.hosting.worker_log import HANDED_MAX, ToNode
from aether.hosting.worker_messages import (
    Answer,
    Begin,
    Begun,
    CallOut,
    Ended,
    Hello,
    Log,
    MapAccess,
    Stop,
    Withdraw,
    decode_message,
    encode_message,
)
from aether.invocation.messages import CallCancel, CallReply, CallRequest
from aether.invocation.reply import Abandoned, Done, Failed, Form
from aether.model.artifact import ArtifactBase
from aether.model.limits import FRAME_BYTES_MAX, WORKER_OUTBOX_BYTES_MAX

MESSAGES = [
    Hello(1, 77),
    Begin(
        "shop.sums", "Sums", "/srv/shop/sums.py", "shop:sums:1.0.0", "n1", "sums-1", 10.0, 30, 0, [["a", "text", "b"]]
    ),
    Begun("Sums"),
    Ended("ValueError", "no", "Traceback"),
    Stop(at_once=True),
    CallOut(3, "shop:pricing", "quote", 1.5, {"sku": "x"}, {"key": "k"}, {"trace": "00-"}),
    MapAccess(4, "book", "get", [b"key"]),
    Withdraw(3),
    Answer(3, [], ["done", 5]),
    Log(30, "shop", "low stock", 1_000.0, 0),
    CallRequest(1, "shop:sums", "sums-1", "add", Form.WIRE, 1.0, {"a": 1}),
    CallReply(1, Done(3)),
    CallCancel(1, "the caller was cancelled"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_is_read_as_it_was_written(message):
    assert decode_message(encode_message(message, "request-1")) == (message, "request-1")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused(payload):
    """A worker runs user code: what it says is input from outside."""
    with contextlib.suppress(BadInput):
        decode_message(payload)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(st.integers(0, 80), plain)
def test_fields_of_the_wrong_shape_are_refused(tag, fields):
    try:
        message, _ = decode_message(msgpack.packb([tag, "", fields]))
    except BadInput:
        return
    decoded, _ = decode_message(encode_message(message))
    assert type(decoded) is type(message), "what was taken in is a message"


def test_what_fields_were_given_is_read_as_it_was_written():
    values = {
        "pricing": Bound(ArtifactBase.parse("shop:pricing")),
        "audit": Bound(None),
        "currency": Text("EUR"),
        "book": Shared("book"),
    }

    assert decode_given(encode_given(values)) == values
    assert "EUR" not in repr(values), "it may be a secret"
    for hostile in ([["a", "text"]], [["a", "code", "import os"]], [7], [["a", "bound", "Not An Artifact"]]):
        with pytest.raises(BadInput):
            decode_given(hostile)


@pytest.mark.parametrize(
    "error",
    [
        NoInstance("shop:pricing", "FAILED", "crashed"),
        Overloaded("each instance", 320, 2.5),
        QuotaExceeded("map book", 3, "entries"),
        OutcomeUnknown("it may have happened"),
        BadInput("the arguments do not fit", ["qty: expected int"]),
    ],
    ids=lambda e: type(e).__name__,
)
def test_an_error_of_the_runtime_arrives_as_what_it_was(error):
    for arrived in (decode_error(encode_error(error)), said_error(spelt_error(error))):
        assert type(arrived) is type(error)
        assert str(arrived) == str(error)


def test_an_error_that_is_none_of_the_runtime_arrives_as_a_failed_call():
    arrived = decode_error(encode_error(ZeroDivisionError("by zero")))

    assert isinstance(arrived, errors.CallFailed)
    assert (arrived.kind, arrived.message) == ("ZeroDivisionError", "by zero")


@given(plain)
def test_no_error_can_be_made_of_anything_else(value):
    try:
        decode_error(value)
    except BadInput:
        return
    assert value[0] in errors.__all__


def test_the_failure_of_a_method_never_passes_for_an_error_of_the_runtime():
    assert is_spelt(spelt_error(NoInstance("shop:pricing", "FAILED")))
    assert not is_spelt(Failed(kind="NoInstance", message="[]"))
    assert not is_spelt(Abandoned("gone"))


# --- the link ---------------------------------------------------------------------------------------------------------


class Pair:
    """A link and the raw socket at its other end."""

    def __init__(self):
        end, self.raw = socket.socketpair()
        self.raw.setblocking(False)
        self.heard = []
        self.link = Link(end, {Log: lambda m, _: self.heard.append(m), Withdraw: lambda m, _: self.heard.append(m)})

    def close(self):
        self.link.close()
        self.raw.close()


@pytest.fixture
async def pair():
    pair = Pair()
    yield pair
    pair.close()


async def test_messages_pass_in_order_however_they_are_cut(pair):
    other = Link(pair.raw, {})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.write)
        for number in range(50):
            assert other.send(Log(30, "shop", "x" * (number * 4_000), 0.0, number))
        nursery.start_soon(pair.link.read)
        with trio.fail_after(20.0):
            while len(pair.heard) < 50:
                await trio.sleep(0.001)
            await other.flushed()
        nursery.cancel_scope.cancel()

    assert [m.dropped for m in pair.heard] == list(range(50))
    assert len(pair.heard[49].message) == 49 * 4_000


@pytest.mark.parametrize(
    "said",
    [
        b"\x00\x00\x00\x05hello",
        (FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff" + b"\x00" * 8,
        len(payload := encode_message(Hello(1, 2))).to_bytes(4, "big") + payload,
    ],
    ids=["no msgpack", "a frame too long", "a chunk too long", "a message of the other direction"],
)
async def test_what_no_worker_says_ends_the_link(pair, said):
    pair.raw.send(said)
    with pytest.raises(BadInput), trio.fail_after(20.0):
        await pair.link.read()


async def test_what_the_other_side_does_not_take_is_bounded(pair):
    """A worker whose loop stands still must not fill the memory of its node."""
    log = Log(30, "shop", "x" * 2**20, 0.0, 0)
    sent = 0
    while pair.link.send(log):
        sent += 1
    assert WORKER_OUTBOX_BYTES_MAX - 2**21 < pair.link.queued_bytes <= WORKER_OUTBOX_BYTES_MAX
    assert sent <= WORKER_OUTBOX_BYTES_MAX // 2**20 + 1
    pair.link.post(Withdraw(1))


async def test_a_link_whose_other_side_is_gone_takes_nothing_and_reads_to_its_end(pair):
    pair.raw.close()
    with trio.fail_after(20.0):
        await pair.link.read()
    assert not pair.link.send(Withdraw(1))
    pair.link.post(Withdraw(1))
    assert pair.link.queued_bytes == 0


async def test_the_first_message_that_the_other_side_cannot_get_is_not_taken(pair):
    pair.raw.close()
    assert not pair.link.send(Withdraw(1))
    assert not pair.link.is_open


async def test_records_of_threads_that_a_busy_loop_does_not_take_are_bounded_and_counted(pair):
    other = Link(pair.raw, {})
    handler = ToNode(other, trio.lowlevel.current_trio_token())

    def log(count):
        for number in range(count):
            handler.handle(logging.LogRecord("shop", logging.WARNING, "", 0, "%d", (number,), None))

    busy = threading.Thread(target=log, args=(HANDED_MAX + 5,))
    busy.start()
    busy.join(20.0)  # the loop stands still
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.link.read)
        with trio.fail_after(20.0):
            while len(pair.heard) < HANDED_MAX:
                await trio.sleep(0.001)
            await trio.to_thread.run_sync(log, 1)
            while len(pair.heard) < HANDED_MAX + 1:
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()

    assert [m.message for m in pair.heard] == [*map(str, range(HANDED_MAX)), "0"]
    assert sum(m.dropped for m in pair.heard) == 5
