"""How a command ends: its exit code, and the one line that says what to do next.

Knows: the meaning of each exit code, which error gets which.
Never: printing tracebacks for what a user can mend.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

from aether.errors import AetherError, BadInput, OutcomeUnknown, TryAgain


class Exit(enum.IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    CANNOT_CONNECT = 3
    REFUSED = 4
    TIMED_OUT = 5
    INTERRUPTED = 130


class CommandFailed(Exception):
    """Ends the command with `code`; `message` is what the user reads, `hint` what they can do."""

    def __init__(self, code: Exit, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The single errors inside nested groups."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if not inner:
        yield error
    for each in inner:
        yield from leaves(each)


def exit_for(error: BaseException) -> CommandFailed | None:
    """How to end for `error`; None when it is a defect of aether, whose traceback helps to mend it."""
    all_leaves = list(leaves(error))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in all_leaves):
        return CommandFailed(Exit.INTERRUPTED, "")
    for leaf in all_leaves:
        if isinstance(leaf, CommandFailed):
            return leaf
        if isinstance(leaf, BadInput):
            return CommandFailed(Exit.USAGE, bad_input(leaf))
    if all_leaves and all(isinstance(leaf, AetherError) for leaf in all_leaves):
        first = all_leaves[0]
        code = Exit.TIMED_OUT if isinstance(first, OutcomeUnknown) else Exit.FAILED
        hint = str(first.__cause__) if isinstance(first, TryAgain) and first.__cause__ else ""
        return CommandFailed(code, str(first), hint)
    return None


def bad_input(error: BadInput) -> str:
    if not error.problems:
        return error.what
    return "\n  ".join([f"{error.what}:", *error.problems])
