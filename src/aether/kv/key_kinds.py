"""What a typed key is, and how the keys of one kind are spelt.

Knows: a head, typed parts, the codec of the values.
Never: which kinds there are (keys.py).
Holds: text -> key -> text is the identity; a key has at most KEY_BYTES_MAX.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import attrs

from aether.errors import BadInput
from aether.kv.codec import Codec
from aether.kv.key_parts import Part
from aether.model.limits import KEY_BYTES_MAX

T = TypeVar("T")


class Key(NamedTuple, Generic[T]):
    """A typed key. `text` is its one spelling; `head` its kind (such as `instances`); `parts` its typed parts.

    A NamedTuple, because each access to a map makes one.
    """

    text: str
    head: str
    parts: tuple[object, ...]
    codec: Codec[T]

    def encode(self, value: T) -> bytes:
        """`value` as stored."""
        return self.codec.encode(value)

    def decode(self, raw: bytes) -> T:
        """The value in `raw`. Raises BadInput that names this key and each wrong field."""
        try:
            return self.codec.decode(raw)
        except BadInput as error:
            raise BadInput(f"{self.text}: {error.what}", error.problems) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self[0] == other[0]

    def __ne__(self, other: object) -> bool:  # a tuple has its own, which would compare the codecs
        return not self == other

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text


_new_key: Final = cast("Callable[[tuple[Any, ...]], Key[Any]]", functools.partial(cast("Any", tuple).__new__, Key))


class Prefix(str, Generic[T]):
    """The start of keys whose values are all T. Is text itself: fits wherever a prefix is asked for."""

    codec: Codec[T]

    def __new__(cls, text: str, codec: Codec[T]) -> Prefix[T]:
        prefix = super().__new__(cls, text)
        prefix.codec = codec
        return prefix


@attrs.frozen
class Kind(Generic[T]):
    """One line of the table: `head/part/part` with values of one type. Head and number of parts make it unique."""

    head: str
    parts: tuple[Part[Any], ...]
    codec: Codec[T]

    def key(self, *parts: object) -> Key[T]:
        spelt = [part.spell(value) for part, value in zip(self.parts, parts, strict=True)]
        return self.made("/".join((self.head, *spelt)), parts)

    def read(self, text: str, parts: list[str]) -> Key[T]:
        return self.made(text, tuple(part.read(spelt) for part, spelt in zip(self.parts, parts, strict=True)))

    def prefix(self, *parts: object) -> Prefix[T]:
        spelt = [part.spell(value) for part, value in zip(self.parts, parts, strict=False)]
        return Prefix("/".join((self.head, *spelt, "")), self.codec)

    def made(self, text: str, parts: tuple[object, ...]) -> Key[T]:
        if len(text) > KEY_BYTES_MAX:  # ASCII: characters are bytes
            raise BadInput(
                f"a key of {len(text)} bytes", (f"keys have at most {KEY_BYTES_MAX} bytes, escapes included",)
            )
        return _new_key((text, self.head, parts, self.codec))
