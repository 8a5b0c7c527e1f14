"""`aether repl`, and `aether` alone on a terminal: the connection said once, commands one after the other.

Knows: prompt_toolkit when it is installed (history, completion), else plain input; where the history lies.
Never: what a line means (repl.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from aether.cli.options import Settings, settings, shared
from aether.cli.repl import PROMPT, converse, is_secret

HISTORY: Final = "history"
ANSWER_S: Final = 1.0


@click.command()
@shared
@click.pass_context
def repl(context: click.Context, /, **_: Any) -> None:
    """Type commands one after the other, with the same connection; `exit`, `quit` or Ctrl-D ends it.

    Lines are kept for the next time, without those that show a token.
    """
    talk(context)


def talk(context: click.Context) -> None:
    """Converse on the standard input, with the connection and the format that `context` says."""
    from aether.cli.main import run, version

    here = settings(context)
    click.echo(f"aether v{version()} - {_met(here)}")
    click.echo("`help` lists the commands, `exit` or Ctrl-D ends this")
    before = _said(here)
    converse(_reader(context.find_root().command, before), lambda words: run([*before, *words]))


def _met(here: Settings) -> str:
    """Whom we talk to, or that nobody is there yet: lines are asked anew, so that is no reason to end."""
    from aether.cli.connection import Connection
    from aether.cli.exits import CommandFailed

    try:
        Connection(here, answer_s=ANSWER_S).get("/status")
    except CommandFailed as failed:
        return f"not connected: {failed.message}"
    return f"connected to {here.connect}"


def _said(here: Settings) -> list[str]:
    """The options that each line begins with. Those of a line itself outweigh them."""
    said = ["-c", here.connect, "-o", "wide" if here.wide else here.output]
    for option, path in (("--tls", here.tls), ("--ca", here.ca)):
        said += [option, str(path)] if path is not None else []
    said += ["--no-color"] if not here.color else []
    return said + (["--token", here.token] if here.token else [])


def _reader(root: click.Command, before: Sequence[str]) -> Callable[[], str]:
    """Reads a line: with history and completion where the terminal and the extra `cli` allow it."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        try:
            return _rich_reader(root, before)
        except ImportError:
            pass  # without the extra, lines are typed plainly
    return lambda: input(PROMPT)


def _rich_reader(root: click.Command, before: Sequence[str]) -> Callable[[], str]:
    """Raises ImportError without prompt_toolkit."""
    import prompt_toolkit
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class Kept(FileHistory):
        def store_string(self, string: str) -> None:
            if not is_secret(string):
                super().store_string(string)

    class OfCommands(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
            words = document.text_before_cursor.split()
            last = "" if not words or document.text_before_cursor[-1].isspace() else words.pop()
            for value, about in completions(root, before, words, last):
                yield Completion(value, start_position=-len(last), display_meta=about)

    file = history_file()
    history = Kept(str(file)) if file is not None else InMemoryHistory()
    session: prompt_toolkit.PromptSession[str] = prompt_toolkit.PromptSession(
        PROMPT, history=history, completer=OfCommands(), complete_while_typing=False, complete_in_thread=True
    )
    return session.prompt


def completions(
    root: click.Command, before: Sequence[str], words: Sequence[str], last: str
) -> Iterable[tuple[str, str]]:
    """What may stand where `last` stands, after `words`: (text, about)."""
    from click.shell_completion import ShellComplete

    words = words[1:] if words[:1] == ["aether"] else words
    complete = ShellComplete(root, {}, "aether", "_AETHER_COMPLETE")
    return [(item.value, item.help or "") for item in complete.get_completions([*before, *words], last)]


def history_file() -> Path | None:
    """Where lines are kept, for this user alone; None where none can be: a read-only home."""
    from aether.node.tokens import state_directory

    path = state_directory() / HISTORY
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        path.chmod(0o600)
    except OSError:
        return None
    return path
