"""What does not fit: problems with the path to each.

Knows: how paths are written (`lines[0].qty`), how values are shown, how cattrs reports its own.
Never: types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import length_hint
from typing import Any, Final

from cattrs import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

SHOWN_CHARS_MAX: Final = 60
PROBLEMS_MAX: Final = 64
"""Problems reported for one value; a hostile list of a million wrong items must not answer with a million lines."""


class Misfit(ValueError):
    """A value does not fit its type. `problems` are (path below the value, what is wrong)."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(*problems)
        self.problems: tuple[tuple[str, str], ...] = problems[:PROBLEMS_MAX]

    def __str__(self) -> str:
        return "; ".join(f"{path.lstrip('.')}: {what}" if path else what for path, what in self.problems)

    def lines(self, value: str) -> tuple[str, ...]:
        """Each problem as a line, `value` being what the value is called."""
        return tuple(f"{value}{path}: {what}" for path, what in self.problems)


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


def collect(
    failed: tuple[str, BaseException],
    rest: Iterator[tuple[str, Any]],
    hook: Callable[[Any], Any],
) -> Misfit:
    """The problems of one failed part and of those behind it.

    failed  path and error of the part that ended the fast path; rest  (path, value) of the parts not yet tried. Nothing
    is converted twice: in nested data that would double the work at every level, and a small request could take hours.
    """
    problems = list(_below(*failed, str))
    for path, value in rest:
        if len(problems) >= PROBLEMS_MAX:
            break
        try:
            hook(value)
        except Exception as error:  # noqa: BLE001 - whatever a user's class raises is a problem of its value
            problems += _below(path, error, str)
    return Misfit(*problems)


def items(values: Any, hook: Callable[[Any], Any]) -> list[Any]:
    """`hook` over every value. Raises Misfit with the index of each that does not fit."""
    position = iter(values)
    try:
        return [hook(value) for value in position]
    except (Misfit, RecursionError) as error:
        index = len(values) - length_hint(position) - 1  # the iterator stands behind the one that failed
        rest = ((f"[{i}]", value) for i, value in enumerate(position, index + 1))
        raise collect((f"[{index}]", error), rest, hook) from None


def _below(path: str, error: BaseException, rename: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    for below, what in problems_of(error, rename):
        yield path + below, what
