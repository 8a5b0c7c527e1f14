"""Why something failed, in one line that fits a row.

Knows: exceptions, groups of them.
Never: where the line is written.
"""

from __future__ import annotations

from typing import Final, cast

from aether.slice_api.faults import text_of

REASON_CHARS_MAX: Final = 500


def first_line(error: BaseException) -> str:
    """The class and the first line of an exception; of a group with one leaf, that leaf's."""
    leaf = _only_leaf(error)
    lines = text_of(leaf).splitlines()
    name = type(leaf).__name__
    return (f"{name}: {lines[0]}" if lines else name)[:REASON_CHARS_MAX]


def _only_leaf(error: BaseException) -> BaseException:
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    return _only_leaf(group.exceptions[0]) if len(group.exceptions) == 1 else group
