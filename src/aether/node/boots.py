"""How often a data directory was opened: a number that an older copy of the disk cannot know.

Knows: one small file beside the log.
Never: clocks; who compares the number (enrolment).
Holds: it grows with each start before the node says a word, so that two starts never carry the same number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aether.errors import StorageCorrupt
from aether.storage.checked_file import read_fields, write_fields

BOOTS_FILE: Final = "boots.json"
FORMAT_VERSION: Final = 1
_WHAT: Final = "the count of starts"


def count_boot(directory: Path) -> int:
    """The number of this start, from 1; durable on return. Blocks.

    Raises StorageCorrupt, StorageFull, StorageFailed.
    """
    path = directory / BOOTS_FILE
    fields = read_fields(path, _WHAT, FORMAT_VERSION) or {"boots": 0}
    before = fields.get("boots")
    if type(before) is not int or before < 0:
        raise StorageCorrupt(str(path), 0, f"{_WHAT} is unreadable: no number")
    write_fields(path, {"boots": before + 1}, FORMAT_VERSION)
    return before + 1
