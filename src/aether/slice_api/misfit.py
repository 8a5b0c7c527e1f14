"""What does not fit: problems with the path to each.

Knows: how paths are written (`lines[0].qty`), how values are shown, how cattrs reports its own.
Never: types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from cattrs import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

SHOWN_CHARS_MAX: Final = 60
PROBLEMS_MAX: Final = 64
"""Problems reported for one value; a hostile list of a million wrong items must not answer with a million lines."""


class Misfit(ValueError):
    """A value does not fit its type. `problems` are (path below the value, what is wrong)."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(*problems)
        self.problems = problems[:PROBLEMS_MAX]

    def __str__(self) -> str:
        return "; ".join(f"{path.lstrip('.')}: {what}" if path else what for path, what in self.problems)


def expected(what: str, value: object) -> Misfit:
    """`expected <what>, got <value> (<its class>)`."""
    return Misfit(("", f"expected {what}, got {show(value)}"))


def show(value: object) -> str:
    """`value` in at most 60 characters, with its class unless it says so itself."""
    if value is None:
        return "null"
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a broken __repr__ must not hide the real problem
        text = f"<unprintable: {type(error).__name__}>"
    if len(text) > SHOWN_CHARS_MAX:
        text = text[: SHOWN_CHARS_MAX - 3] + "..."
    return f"{text} ({type(value).__name__})"


def problems_of(error: BaseException, rename: Callable[[str], str] = str) -> Iterator[tuple[str, str]]:
    """(path, what is wrong) for every problem inside `error`. `rename` gives a field's spelling outside."""
    if isinstance(error, Misfit):
        yield from error.problems
    elif isinstance(error, ClassValidationError):
        with_notes, without = error.group_exceptions()
        for inner, note in with_notes:
            yield from _below(f".{rename(note.name)}", inner, rename)
        for inner in without:
            yield from problems_of(inner, rename)
    elif isinstance(error, IterableValidationError):
        with_indexes, without = error.group_exceptions()
        for inner, index in with_indexes:
            yield from _below(f"[{index.index!r}]", inner, rename)
        for inner in without:
            yield from problems_of(inner, rename)
    elif isinstance(error, ForbiddenExtraKeysError):
        yield from ((f".{name}", "unknown field") for name in sorted(error.extra_fields))
    elif isinstance(error, KeyError):
        yield "", "missing"
    elif isinstance(error, RecursionError):
        yield "", "nested too deeply"
    else:
        yield "", f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def array(plain: Any, kinds: Sequence[type]) -> list[Any] | None:
    """The items of a list of exactly these classes, in order; None when it is anything else."""
    items: list[Any] = list(plain) if plain.__class__ in (list, tuple) else []
    fits = len(items) == len(kinds) and all(isinstance(i, kind) for i, kind in zip(items, kinds, strict=True))
    return items if fits else None


def misfit(error: BaseException, rename: Callable[[str], str] = str) -> Misfit:
    """`error` with all its problems, as a Misfit."""
    return error if isinstance(error, Misfit) else Misfit(*problems_of(error, rename))


def each(values: Iterator[tuple[str, Any]], hook: Callable[[Any], Any], rename: Callable[[str], str] = str) -> Misfit:
    """Every problem of `hook` over (path, value) pairs, after the fast path has failed on one of them."""
    problems: list[tuple[str, str]] = []
    for path, value in values:
        try:
            hook(value)
        except Exception as error:  # noqa: BLE001 - whatever a user's class raises is a problem of its value
            problems += ((path + below, what) for below, what in problems_of(error, rename))
        if len(problems) >= PROBLEMS_MAX:
            break
    return Misfit(*problems)


def _below(path: str, error: BaseException, rename: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    for below, what in problems_of(error, rename):
        yield path + below, what
