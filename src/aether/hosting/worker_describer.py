"""The other life of a worker process: it imports the classes of one tree, tells what they are, and ends.

Knows: how a class is loaded and described.
Never: instances; the node's configuration.
Holds: each class has an answer: what it is, or what went wrong with it.
"""

from __future__ import annotations

from typing import Any

from aether.errors import AetherError
from aether.hosting.failures import trimmed
from aether.hosting.worker_program import load_program
from aether.slice_api.described import describe_slice
from aether.slice_api.faults import text_of

PROBLEM_CHARS_MAX = 4 * 1024


def described(slices: list[Any]) -> list[list[str]]:
    """`[description, problem]` of each `[module, qualname, artifact]`; one of the two is empty."""
    return [_described(*map(str, each)) for each in slices]


def _described(module: str, qualname: str, artifact: str) -> list[str]:
    try:
        return [describe_slice(load_program(module, qualname, "", artifact)), ""]
    except AetherError as error:
        return ["", text_of(error)[:PROBLEM_CHARS_MAX]]
    except BaseException as error:  # noqa: BLE001 - code of others: whatever its import raises is told
        last = trimmed(error).strip().splitlines()
        where = next((line.strip() for line in reversed(last) if line.lstrip().startswith("File ")), "")
        said = f"{type(error).__name__}: {text_of(error)}"
        return ["", f"{module} cannot be imported: {said}{f' ({where})' if where else ''}"[:PROBLEM_CHARS_MAX]]
