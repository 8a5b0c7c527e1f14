"""One HTTP/1.1 connection as bytes in and requests out.

Knows: framing, limits on header and body, keep-alive, 100-continue, which messages are dangerous.
Never: sockets, clocks, handlers. Its owner feeds bytes and carries out what it is told.
Holds: after a Refusal the connection must be closed, because where the next request begins is unknown; one call takes
       a few milliseconds at most, however small the chunks of a body are;
       of bytes that could be read in two ways (Content-Length with Transfer-Encoding, repeated Host) none is served.
Paper: RFC 9112 (3.2 target, 6.1 and 6.3 framing, 9.3 persistence), RFC 9110 10.1.1 (Expect).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Final

import h11

from aether.web.checked_head import Refusal, Refused, checked_head, refuse_doubtful, refuse_doubtful_end
from aether.web.ordinary import Head, HeadReader
from aether.web.request import Request

_CHUNKS_MAX: Final = 512  # that h11 takes apart in one call: one of a byte takes as long as one of a kilobyte
REQUEST_ID: re.Pattern[str] = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class Wait(enum.Enum):
    """What the connection waits for."""

    IDLE = "idle"  # the first byte of a request
    HEADER = "header"
    BODY = "body"
    CONTINUE = "continue"  # the body, and the client wants CONTINUE first: said once per request


class HttpConnection:
    """Requests of one connection, in order.

    header_bytes_max  request line and fields together; more is 431
    body_bytes_max    after de-chunking; more is 413, said before the body is read when its length is declared
    stream_bytes_max  the same for a body that is read by `next_part`
    new_request_id    makes an id for a request that brings none
    streams_body      picks requests, by verb and raw path, whose body is taken by `next_part`; None: there are none
    heads             reads the heads of ordinary requests without h11, which gives the same requests in less time;
                      None: h11 reads all
    """

    __slots__ = (
        "_body",
        "_body_bytes_max",
        "_buffer",
        "_client",
        "_continue_said",
        "_head",
        "_header_bytes_max",
        "_heads",
        "_identity",
        "_looked_at",
        "_new_request_id",
        "_parser",
        "_received",
        "_recent",
        "_refusal",
        "_stream_bytes_max",
        "_streams_body",
        "is_behind",
        "keep_alive",
        "speaks_1_1",
        "streaming",
    )

    def __init__(
        self,
        *,
        header_bytes_max: int,
        body_bytes_max: int,
        new_request_id: Callable[[], str],
        client: str = "",
        identity: str = "",
        stream_bytes_max: int = 0,
        streams_body: Callable[[str, str], bool] | None = None,
        heads: HeadReader | None = None,
    ) -> None:
        self._header_bytes_max = header_bytes_max
        self._body_bytes_max = body_bytes_max
        self._stream_bytes_max = stream_bytes_max
        self._new_request_id = new_request_id
        self._streams_body = streams_body
        self._client = client
        self._identity = identity
        self._heads = heads
        self._buffer = bytearray()
        self._parser: h11.Connection | None = None
        self._looked_at = 0
        self._recent = b""
        self._head: Head | None = None
        self._body = bytearray()  # in one piece: an object for each tiny chunk would weigh many times what is counted
        self._received = 0
        self._continue_said = False
        self._refusal: Refusal | None = None
        self.keep_alive: bool = True
        """Whether the connection may serve another request after the one returned last."""
        self.speaks_1_1: bool = True
        """Whether who sent the request returned last reads chunks."""
        self.is_behind: bool = False
        """Whether `next`, which said Wait, has not looked at all that came: ask it again, after a turn."""
        self.streaming: bool = False
        """Whether the request returned last has a body that `next_part` has not given to its end."""

    @property
    def buffered(self) -> int:
        """Bytes received that no request has begun to use, or of a streamed body that nobody has taken."""
        return len(self._buffer) if self._head is None or self.streaming else 0

    def receive(self, data: bytes | bytearray) -> None:
        """Take `data` as it came from the peer."""
        self._buffer += data

    def take_rest(self) -> bytes:
        """Everything that came behind the request returned last: the connection speaks HTTP no more."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def next(self) -> Request | Wait | Refusal:
        """The next whole request, or what is missing for it, or why there is none.

        One that `streams_body` picks comes with its header; then `next_part` is to be asked until it says None.
        """
        if self._refusal is not None:
            return self._refusal
        try:
            return self._advance()
        except Refused as refused:
            return self._refuse(refused.refusal)
        except h11.RemoteProtocolError as error:
            return self._refuse(_refusal_of(error))

    def next_part(self) -> bytes | Wait | Refusal | None:
        """What has come of the body, never b"", or what is missing for more, or why there is none; None at its end."""
        if self._refusal is not None:
            return self._refusal
        if not self.streaming:
            return None
        try:
            return self._part() if self._parser is None else self._pump_part(self._parser)
        except Refused as refused:
            return self._refuse(refused.refusal)
        except h11.RemoteProtocolError as error:
            return self._refuse(_refusal_of(error))

    def _refuse(self, refusal: Refusal) -> Refusal:
        self._refusal = refusal
        self.keep_alive = False
        return refusal

    def _advance(self) -> Request | Wait:
        if self._parser is not None:
            return self._pump(self._parser)
        if self._head is not None:
            return self._complete_ordinary(self._head)
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):  # RFC 9112 2.2: an old client may end a body with one too many
            del buffer[:2]
        if len(buffer) == buffer.startswith(b"\r"):  # nothing, or half a line break
            return Wait.IDLE
        found = None if self._heads is None else self._heads.read(buffer, self._header_bytes_max)
        if found is not None and (step := self._begin_ordinary(*found)) is not None:
            return step
        if not self._has_whole_head():
            return Wait.HEADER
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=self._header_bytes_max)
        return self._pump(self._parser)

    def _has_whole_head(self) -> bool:
        """Whether h11 may see the head: it is whole, not too long, and holds nothing that parsers disagree about."""
        buffer, bytes_max = self._buffer, self._header_bytes_max
        end = buffer.find(b"\r\n\r\n", max(0, self._looked_at - 3), bytes_max)
        stop = end + 4 if end >= 0 else min(len(buffer), bytes_max)
        refuse_doubtful(buffer, self._looked_at, stop)
        if end < 0 and len(buffer) >= bytes_max:
            if buffer.find(b"\r\n", 0, bytes_max) < 0:
                raise Refused(414, f"the request line exceeds the limit of {bytes_max} bytes")
            raise Refused(431, f"the header exceeds the limit of {bytes_max} bytes")
        self._looked_at = 0 if end >= 0 else stop
        return end >= 0

    # --- ordinary requests ---

    def _begin_ordinary(self, head: Head, size: int) -> Request | Wait | None:
        """Take the head off the buffer, with its body if that is there; None when h11 shall say what is wrong."""
        length = head.fields.content_length or 0
        picked = None if self._streams_body is None else self._picked(head)
        if length > (self._body_bytes_max if picked is None else self._stream_bytes_max):
            return None
        buffer = self._buffer
        self._looked_at = 0
        if picked is None and len(buffer) >= size + length:
            body = bytes(buffer[size : size + length]) if length else b""
            del buffer[: size + length]
            return self._request(head, body)
        del buffer[:size]
        self._head = head
        self._received = 0
        return Wait.BODY if picked is None else self._streamed(picked)

    def _complete_ordinary(self, head: Head) -> Request | Wait:
        length = head.fields.content_length or 0
        if len(self._buffer) < length:
            return Wait.BODY
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._head = None
        return self._request(head, body)

    def _part(self) -> bytes | Wait | None:
        assert self._head is not None
        missing = (self._head.fields.content_length or 0) - self._received
        if missing == 0:
            self._head, self.streaming = None, False
            return None
        part = bytes(self._buffer[:missing])
        del self._buffer[:missing]
        self._received += len(part)
        return part or Wait.BODY

    # --- all others, by h11 ---

    def _pump(self, parser: h11.Connection) -> Request | Wait:
        self._feed(parser)
        self.is_behind = False
        for _ in range(_CHUNKS_MAX):
            event = parser.next_event()
            if isinstance(event, h11.Request):
                if (request := self._begin(event)) is not None:
                    return request
            elif isinstance(event, h11.Data):
                self._count(len(event.data), self._body_bytes_max)
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                head, body = self._head, bytes(self._body)
                assert head is not None
                self._end(parser, event)
                return self._request(head, body)
            else:
                return self._waiting(parser)
        self.is_behind = True
        return Wait.BODY

    def _pump_part(self, parser: h11.Connection) -> bytes | Wait | None:
        event = parser.next_event()
        if event is h11.NEED_DATA and self._buffer:  # not before: what h11 holds is bounded by nobody
            self._feed(parser)
            event = parser.next_event()
        if isinstance(event, h11.Data):
            self._count(len(event.data), self._stream_bytes_max)
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            self._end(parser, event)
            return None
        return self._waiting(parser)

    def _feed(self, parser: h11.Connection) -> None:
        if self._buffer:
            raw = bytes(self._buffer)
            self._buffer.clear()
            parser.receive_data(raw)
            self._recent = self._recent[-self._header_bytes_max :] + raw

    def _count(self, size: int, bytes_max: int) -> None:
        self._received += size
        if self._received > bytes_max:
            raise Refused(413, f"the body exceeds the limit of {bytes_max} bytes")

    def _begin(self, event: h11.Request) -> Request | None:
        """The request when its body is to be streamed."""
        self._head = head = checked_head(event)
        request = self._picked(head)
        bytes_max = self._body_bytes_max if request is None else self._stream_bytes_max
        length = head.fields.content_length or 0
        if length > bytes_max:
            raise Refused(413, f"a body of {length} bytes exceeds the limit of {bytes_max} bytes")
        self._received = 0
        return None if request is None else self._streamed(request)

    def _waiting(self, parser: h11.Connection) -> Wait:
        if parser.they_are_waiting_for_100_continue and not self._continue_said:
            self._continue_said = True
            return Wait.CONTINUE
        return Wait.BODY

    def _end(self, parser: h11.Connection, event: h11.EndOfMessage) -> None:
        rest = parser.trailing_data[0]
        if self._head is not None and self._head.fields.content_length is None:
            refuse_doubtful_end(self._recent[: len(self._recent) - len(rest)], len(event.headers))
        self._buffer[:0] = rest
        self._parser, self._head, self._recent, self._continue_said, self.streaming = None, None, b"", False, False
        self._body = bytearray()

    # --- both ---

    def _picked(self, head: Head) -> Request | None:
        if self._streams_body is None or not self._streams_body(head.verb, head.path):
            return None
        return self._request(head, b"")

    def _streamed(self, request: Request) -> Request:
        self.streaming = True
        return request

    def _request(self, head: Head, body: bytes) -> Request:
        verb, path, query_text, (headers, self.keep_alive, _, given), self.speaks_1_1 = head
        return Request(
            verb=verb,
            path=path,
            query_text=query_text,
            headers=headers,
            body=body,
            request_id=given if given and REQUEST_ID.fullmatch(given) else self._new_request_id(),
            client=self._client,
            identity=self._identity,
        )


def _refusal_of(error: h11.RemoteProtocolError) -> Refusal:
    return Refusal(error.error_status_hint, f"the bytes are no HTTP/1.1 request: {error}")
