"""Small files that operators read and nodes trust: JSON with a format version and a checksum of its own fields.

Knows: the one spelling of such a file, and every way in which a read one can be wrong.
Never: what the fields mean.
Holds: a file is replaced whole and durably; a changed character, a lost line or another format is refused.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from aether.errors import StorageCorrupt, StorageFailed, StorageFull
from aether.storage import files

FILE_BYTES_MAX: Final = 64 * 1024


def encode_fields(fields: Mapping[str, object], version: int) -> bytes:
    """`fields` as JSON, with `format` and `crc32` beside them."""
    checked = {"format": version, **fields}
    return json.dumps({**checked, "crc32": _checksum(checked)}, indent=1, sort_keys=True).encode() + b"\n"


def write_fields(path: Path, fields: Mapping[str, object], version: int) -> None:
    """Put the file in place, durably. Raises StorageFull with nothing changed, StorageFailed."""
    raw = encode_fields(fields, version)
    try:
        files.replace_durably(path, (raw,))
    except OSError as error:
        if error.errno in files.NO_SPACE:
            raise StorageFull(str(path.parent), len(raw)) from error
        raise StorageFailed(str(path), error.strerror or str(error)) from error


def read_fields(path: Path, what: str, version: int) -> dict[str, Any] | None:
    """The fields in `path` without `format` and `crc32`; None when there is no such file.

    what  the file's content, for the message. Raises StorageCorrupt.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageCorrupt(str(path), 0, f"{what} cannot be read: {error.strerror}") from error
    try:
        found = cast("object", json.loads(raw))
    except ValueError as error:
        raise StorageCorrupt(str(path), 0, f"{what} is unreadable: {error}") from error
    if not isinstance(found, dict):
        raise StorageCorrupt(str(path), 0, f"{what} is unreadable: it is no JSON object")
    fields = cast("dict[str, Any]", found)
    if fields.pop("crc32", None) != _checksum(fields):
        raise StorageCorrupt(str(path), 0, f"{what} does not match its checksum")
    if fields.pop("format", None) != version:
        raise StorageCorrupt(str(path), 0, f"{what}: written by another release; this one reads format {version}")
    return fields


def _checksum(fields: Mapping[str, object]) -> int:
    return zlib.crc32(json.dumps(fields, sort_keys=True).encode())
