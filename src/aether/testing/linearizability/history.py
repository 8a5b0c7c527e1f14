"""Histories as JSON lines: one operation a line, so that a killed recorder loses its last line and no more.

Knows: the fields of an operation.
Never: files; lines come in and go out.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, cast

import attrs

from aether.errors import AetherError
from aether.testing.linearizability.operation import Operation, Outcome


@attrs.define(eq=False)
class BadHistory(AetherError):
    """A line that is no operation: the recorder's fault, not the recorded system's."""

    line: int
    problem: str

    def __str__(self) -> str:
        return f"line {self.line} of the history is no operation: {self.problem}"


def write_operation(operation: Operation) -> str:
    """One line, without its end. An operation that never returned has `returned` null."""
    row = attrs.asdict(operation)
    row["returned"] = None if operation.returned == float("inf") else operation.returned
    return json.dumps(row, separators=(",", ":"))


def read_history(lines: Iterable[str]) -> Iterator[Operation]:
    """The operations of `lines`; empty lines are skipped. Raises BadHistory."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: dict[str, Any] = {name: _frozen(value) for name, value in json.loads(line).items()}
            row["outcome"] = Outcome(str(row["outcome"]))
            operation = Operation(**row)
        except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
            raise BadHistory(number, f"{type(error).__name__} {error}: {line[:200]!r}") from error
        yield operation


def _frozen(value: object) -> Hashable:
    """Lists become tuples: results are compared and remembered."""
    if isinstance(value, list):
        return tuple(_frozen(each) for each in cast("list[object]", value))
    assert isinstance(value, Hashable), "plain values and lists only"
    return value
