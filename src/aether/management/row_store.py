"""The rows of the replicated store by the texts of their keys, for operators.

Knows: the table of keys; which rows an operator may write, and how a value that is JSON becomes the bytes of its row.
Never: HTTP, who may ask.
Holds: a row that the cluster itself keeps is written only by force, and only with a value of its type; some never, such
       as the leadership row: it is the fence of all leader's writers. Rows of tokens are not shown, nor
       any other that its own path keeps from viewers.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, cast

import attrs
import msgpack

from aether.errors import BadInput, Conflict, NotFound
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.key_kinds import Key
from aether.kv.service import KvService
from aether.management.view import Changes
from aether.model.ids import Revision

HIDDEN: Final = frozenset({"tokens", "alert-sinks", "audit", "denials"})
"""Rows of these heads are shown by their own paths alone, which ask for more than a viewer, or not whole."""
_NEVER: Final = {
    "leadership": "each leader writes it once, and its writers trust it",
    "tokens": "`aether token create` and `aether token revoke` write them",
    "audit": "what was done is not rewritten",
    "denials": "what was refused is not rewritten",
}


class RowStore(Protocol):
    """What the paths below /kv ask for. KvRows answers it from a KvService."""

    @property
    def revision(self) -> Revision: ...
    def page(self, prefix: str, after: str, limit: int) -> list[tuple[str, bytes, Revision]]: ...
    def changed_after(self, revision: Revision, prefix: str) -> dict[str, Revision]: ...
    def watch(self, prefix: str) -> AbstractAsyncContextManager[Changes]: ...
    async def put(self, key: Key[Any], raw: bytes | None, if_version: int | None) -> Revision:
        """Write the row of `key`, or delete it (None). Raises Conflict when its version differs from `if_version`."""
        ...


class KvRows:
    """A RowStore over a KvService."""

    def __init__(self, kv: KvService) -> None:
        self._kv = kv

    @property
    def revision(self) -> Revision:
        return self._kv.revision

    def page(self, prefix: str, after: str, limit: int) -> list[tuple[str, bytes, Revision]]:
        return self._kv.page(prefix, after, limit)

    def changed_after(self, revision: Revision, prefix: str) -> dict[str, Revision]:
        return self._kv.changed_after(revision, prefix)

    def watch(self, prefix: str) -> AbstractAsyncContextManager[Changes]:
        return self._kv.watch(prefix)

    async def put(self, key: Key[Any], raw: bytes | None, if_version: int | None) -> Revision:
        change = Delete(key) if raw is None else Put(key, key.decode(raw))
        compares = () if if_version is None else (Compare(key, Revision(if_version)),)
        result = await self._kv.propose(Batch(compares, (change,)))
        if not result.applied:
            found = self._kv.version(key)
            state = f"its version is {found}" if found else "there is no such row"
            raise Conflict(key.text, f"{state}, not {if_version} as you expected; read it again")
        return result.revision


def row_of(rows: RowStore, key: Key[Any]) -> tuple[bytes, Revision]:
    """Value and version of the row. Raises NotFound."""
    for text, raw, version in rows.page(key.text, "", 1):
        if text == key.text and key.head not in HIDDEN:
            return raw, version
    raise NotFound("row", key.text, "`aether kv list` shows what is there")


def key_of(text: str) -> Key[Any]:
    """The key that `text` spells. What follows `maps/NAME/` may also stand unescaped. Raises BadInput."""
    try:
        return keys.parse(text)
    except BadInput:
        head, _, rest = text.partition("/")
        name, slash, entry = rest.partition("/")
        if f"{head}/" != keys.MAPS or not (name and slash):
            problems = ("a row of a map is maps/NAME/KEY; `aether kv list` shows what there is",)
            raise BadInput(f"{text[:80]!r} is no key", problems) from None
        return keys.map_entry(name, entry.encode())


@attrs.frozen
class Wanted:
    """A checked wish to write; `raw` is None to delete. is_forced  it needs force, and the admin token."""

    key: Key[Any]
    raw: bytes | None
    if_version: int | None
    is_forced: bool


def wanted(body: Mapping[str, object], *, deletes: bool = False) -> Wanted:
    """The wish in a body that fits its schema. Raises BadInput."""
    key = key_of(cast("str", body["key"]))
    if key.head in _NEVER:
        raise BadInput(f"{key.text} cannot be written", (_NEVER[key.head],))
    raw = None if deletes else _value(key, body)
    return Wanted(key, raw, cast("int | None", body.get("ifVersion")), not is_entry(key))


def is_entry(key: Key[Any]) -> bool:
    """Whether it is an entry of a user's map: all other rows are kept by the cluster itself."""
    return key.head == "maps" and len(key.parts) == 2


def _value(key: Key[Any], body: Mapping[str, object]) -> bytes:
    if ("value" in body) == ("base64" in body):
        raise BadInput("the body does not fit", ("value, base64: give one of them",))
    if "base64" in body:
        try:
            raw = base64.b64decode(cast("str", body["base64"]), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadInput("the body does not fit", (f"base64: {error}",)) from error
    else:
        raw = _packed(body["value"])
    key.decode(raw)  # a control row of another shape would stop whoever reads it
    return raw


def _packed(value: object) -> bytes:
    try:
        return cast("bytes", cast("Any", msgpack).packb(value))
    except (ValueError, OverflowError, TypeError) as error:
        raise BadInput("the body does not fit", (f"value: {error}",)) from error
