"""How a command ends: its exit code, and the one line that says what to do next.

Knows: the meaning of each exit code, which error gets which.
Never: printing tracebacks for what a user can mend.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Final

from aether.errors import AetherError, BadInput, OutcomeUnknown, Removed, StorageFull, TryAgain


class Exit(enum.IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    CANNOT_CONNECT = 3
    REFUSED = 4
    TIMED_OUT = 5
    INTERRUPTED = 130


STATUS_EXITS: Final[Mapping[int, Exit]] = {
    401: Exit.REFUSED,  # no token, or not this one
    403: Exit.REFUSED,  # a role that may not
    409: Exit.REFUSED,  # what is there stands against it: another number, a guard, an update under way
    412: Exit.REFUSED,  # changed since it was read
    429: Exit.REFUSED,  # too much, for now
    408: Exit.TIMED_OUT,
    504: Exit.TIMED_OUT,  # it may have happened, or is still on its way
}
"""What an answer ends a command with; 1 unless it stands here: 400, 404 and 422 say that it cannot be done as asked."""
KIND_EXITS: Final[Mapping[str, Exit]] = {"no-quorum": Exit.REFUSED, "taken-back": Exit.FAILED}
"""The same by the last part of the problem's type, which outweighs the status: without a majority nobody decides; what
was done as asked and did not come off was not refused.
"""


def exit_of(status: int, kind: str = "") -> Exit:
    """The exit code for an answer that is no success. kind  the last part of its problem type, such as `no-quorum`"""
    return KIND_EXITS.get(kind) or STATUS_EXITS.get(status, Exit.FAILED)


_NETWORK = frozenset({"httpx", "httpcore"})  # by name: not every command imports them


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
    if any(isinstance(leaf, BrokenPipeError) for leaf in all_leaves):
        return CommandFailed(Exit.FAILED, "")  # whoever read our output has seen enough
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in all_leaves):
        return CommandFailed(Exit.INTERRUPTED, "")
    for leaf in all_leaves:
        if isinstance(leaf, CommandFailed):
            return leaf
        if isinstance(leaf, BadInput):
            return CommandFailed(Exit.USAGE, bad_input(leaf))
        if isinstance(leaf, Removed):
            return CommandFailed(Exit.REFUSED, str(leaf))  # to start it again is no use: supervisors can tell
    if all_leaves and all(isinstance(leaf, AetherError) for leaf in all_leaves):
        first = all_leaves[0]
        if isinstance(first, StorageFull):  # whoever could have gone on by itself has just ended
            what = f"no space for {first.needed_bytes} bytes at {first.path}"
            return CommandFailed(Exit.FAILED, what, "free some, then run the same command again")
        code = Exit.TIMED_OUT if isinstance(first, OutcomeUnknown) else Exit.FAILED
        hint = str(first.__cause__) if isinstance(first, TryAgain) and first.__cause__ else ""
        return CommandFailed(code, str(first), hint)
    if any(isinstance(leaf, ModuleNotFoundError) and leaf.name == "cryptography" for leaf in all_leaves):
        from aether.node.certify import EXTRA, INSTALL

        return CommandFailed(Exit.USAGE, EXTRA, INSTALL)
    foreign = [leaf for leaf in all_leaves if type(leaf).__module__.partition(".")[0] in _NETWORK]
    if foreign and len(foreign) == len(all_leaves):
        return CommandFailed(Exit.FAILED, f"a node did not answer as it should: {_described(foreign[0])}")
    return None


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def bad_input(error: BadInput) -> str:
    if not error.problems:
        return error.what
    return "\n  ".join([f"{error.what}:", *error.problems])
