"""JSON text and plain data in JSON's own types: by msgspec where it is installed (extra `fast`), else by `json`.

Knows: how each of the two is asked.
Never: codecs, requests, what a text means.
Holds: what is read does not depend on what is installed, nor does what is refused, nor the words for it: msgspec reads
       what it is sure of, `json` all else. What is written reads back as the same data. How deep a text may nest is
       the interpreter's to say (about a thousand levels, less what the stack holds), and the two count a few apart.
Paper: RFC 8259, 8.1 for UTF-8.
"""

from __future__ import annotations

import functools
import json
import json.encoder
from collections.abc import Callable
from typing import Any, Final, Protocol


class JsonText(Protocol):
    """Reads and writes JSON."""

    def read(self, body: bytes, /) -> Any:
        """The value of a whole text. Raises json.JSONDecodeError, UnicodeDecodeError, RecursionError, ValueError."""
        ...

    def write(self, plain: Any, /) -> bytes:
        """What comes from a codec, so without cycles, as text. Raises UnicodeEncodeError, RecursionError."""
        ...


def _no_constant(text: str) -> Any:
    raise ValueError(f"JSON has no {text}")


_read: Final = json.JSONDecoder(parse_constant=_no_constant).decode  # json.loads would make one for each body


def _writer() -> Callable[[Any], str]:
    """`JSONEncoder.encode` makes the writer in C anew for each text, which costs more than writing it."""
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    spell_text: Any = getattr(json.encoder, "c_encode_basestring", None)
    if make is None or spell_text is None:  # an interpreter without the writer in C
        return encoder.encode
    pieces: Callable[[Any, int], tuple[str, ...]] = make(
        None, encoder.default, spell_text, None, ":", ",", False, False, False
    )
    return lambda plain: "".join(pieces(plain, 0))


_write: Final = _writer()


class StandardJson:
    """Python's own, without its constants NaN and Infinity."""

    def read(self, body: bytes) -> Any:
        return _read(body.decode("utf-8"))

    def write(self, plain: Any) -> bytes:
        return _write(plain).encode()


class MsgspecJson:
    """A third to a fifth of the time. What msgspec refuses is a doubt: `json` decides it, and finds the words."""

    def __init__(self) -> None:
        import msgspec  # an extra: imported when a route is made

        self._read: Callable[[bytes], Any] = msgspec.json.Decoder().decode
        self.write: Callable[[Any], bytes] = msgspec.json.Encoder().encode
        self._refused = msgspec.MsgspecError

    def read(self, body: bytes) -> Any:
        try:
            return self._read(body)
        except (self._refused, RecursionError, UnicodeError):
            return _read(body.decode("utf-8"))


@functools.lru_cache(maxsize=1)
def fastest_json() -> JsonText:
    """The faster one that is installed."""
    try:
        return MsgspecJson()
    except ImportError:
        return StandardJson()
