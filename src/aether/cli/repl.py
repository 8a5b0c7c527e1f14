"""Commands typed one after the other: what a line means, and how the conversation ends.

Knows: quotes, blank lines, the words that end it.
Never: how a line is read from a terminal, what a command does (both are passed in).
Holds: no error ends the conversation; only `exit`, `quit` and the end of the input do.
"""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import click

PROMPT: Final = "aether> "
GOODBYE: Final = "Goodbye!"
_ENDS: Final = frozenset({"exit", "quit"})
_SECRET_OPTIONS: Final = ("--token", "--api-key", "-k")


@attrs.frozen
class Ended:
    """The line says good-bye."""


@attrs.frozen
class Nothing:
    """The line is blank, or a comment."""


@attrs.frozen
class Unread:
    """The line has a quote without its other half. why  in words"""

    why: str


Line = tuple[str, ...] | Ended | Nothing | Unread


def read_line(text: str) -> Line:
    """What `text` says: the words of a command line, without a leading `aether`, or one of the others."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        return Unread(str(error))
    if not words:
        return Nothing()
    if len(words) == 1 and words[0].lower() in _ENDS:
        return Ended()
    if words[0] == "aether":
        words = words[1:]
    if not words or (words[0] == "help" and len(words) == 1):
        return ("--help",)
    return (*words[1:], "--help") if words[0] == "help" else tuple(words)


def is_secret(text: str) -> bool:
    """Whether a line must not be kept: it shows a token."""
    words = text.replace("=", " ").split()
    return any(word in _SECRET_OPTIONS or (word.startswith("-k") and not word.startswith("--")) for word in words)


def converse(read: Callable[[], str], run: Callable[[Sequence[str]], int]) -> None:
    """Run line after line, until one ends it. read  raises EOFError at the end, KeyboardInterrupt to drop a line"""
    while True:
        try:
            line = read_line(read())
        except KeyboardInterrupt:
            click.echo()
            continue
        except EOFError:
            line = Ended()
        if isinstance(line, Ended):
            click.echo(GOODBYE)
            return
        if isinstance(line, Unread):
            click.echo(f"aether: {line.why}; write the other half of the quote", err=True)
        elif isinstance(line, tuple):
            _carry_out(line, run)


def _carry_out(words: Sequence[str], run: Callable[[Sequence[str]], int]) -> None:
    if words[0] == "repl":
        click.echo("this is it; `exit` ends it", err=True)
        return
    try:
        run(words)
    except KeyboardInterrupt:
        click.echo()
    except (Exception, SystemExit):  # noqa: BLE001 - a defect of one command must not end the conversation
        traceback.print_exc()
