"""What operations do when they run one at a time.

Knows: registers with versions (what a replicated map offers per key), counters.
Never: time, concurrency.
Holds: `step` is a pure function; a state is hashable.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol, TypeAlias, cast

import attrs

from aether.testing.linearizability.facts import NO_FACTS, Facts, Seen, facts_of
from aether.testing.linearizability.operation import Operation, Outcome

State: TypeAlias = Any
"""Hashable; opaque to everybody but its model."""


class Model(Protocol):
    """A sequential object, one per key."""

    @property
    def initial(self) -> State: ...

    def step(self, state: State, operation: Operation) -> State | None:
        """The state after `operation`; None when its result is impossible in `state`.

        An operation of UNKNOWN outcome has no result to compare: the state after it took effect, None when it has none.
        """
        ...

    def only_reads(self, operation: Operation) -> bool:
        """Whether `operation`, with the result that it had, leaves every state as it is."""
        ...

    def unconditional(self, operation: Operation) -> Operation:
        """What writes as `operation` does, whatever it finds; `operation` itself where there is no such thing."""
        ...

    def facts(self, certain: Sequence[Operation], opened: Sequence[Operation]) -> Facts:
        """What can be told about one key's operations before searching: only ever a shorter way to the same answer."""
        ...

    def show(self, state: State) -> str:
        """`state` for people."""
        ...


class Register:
    """A value with the version of its last change, as a replicated map has for each key.

    kind    argument           result
    get                        (value, version); value None = absent, then version 0; version None = not told
    put     value              its version, or None when not told
    cas     (version, value)   (whether it was applied, its new version or None when not told or not applied)
    delete                     anything: not looked at

    Versions grow with every change of a key, over deletes too. A version that nobody was told is settled by the first
    operation that names it.
    """

    initial: tuple[Hashable, int | None, int] = (None, 0, 0)  # value, its version (None: not told yet), highest so far

    def step(self, state: State, operation: Operation) -> State | None:
        match operation.kind:
            case "get":
                value, version = cast("tuple[Hashable, int | None]", operation.result)
                return _settled(state, version) if value == state[0] else None
            case "put":
                return _written(state, operation.argument, _told(operation, operation.result))
            case "cas":
                return _compared(state, operation)
            case "delete":
                return None, 0, state[2]
            case other:
                raise AssertionError(f"a register has no {other!r}: {operation}")

    def only_reads(self, operation: Operation) -> bool:
        if operation.kind == "cas" and operation.outcome is Outcome.OK:
            applied, _ = cast("tuple[bool, int | None]", operation.result)
            return not applied
        return operation.kind == "get"

    def unconditional(self, operation: Operation) -> Operation:
        if operation.kind != "cas":
            return operation
        _, value = cast("tuple[int, Hashable]", operation.argument)
        return attrs.evolve(operation, kind="put", argument=value, result=None)

    def facts(self, certain: Sequence[Operation], opened: Sequence[Operation]) -> Facts:
        return facts_of([_seen(o) for o in certain], [_seen(o) for o in opened])

    def show(self, state: State) -> str:
        value, version, _ = state
        return f"{value!r} of version {'not told' if version is None else version}"


def _settled(state: State, version: int | None) -> State | None:
    """`state` knowing that its version is `version`; None when it cannot be."""
    value, known, highest = state
    if version is None or version == known:
        return state
    return (value, version, version) if known is None and version > highest else None


def _written(state: State, value: Hashable, version: int | None) -> State | None:
    highest = state[2]
    if version is None:
        return value, None, highest
    return (value, version, version) if version > highest else None


def _told(operation: Operation, version: Hashable) -> int | None:
    return cast("int | None", version) if operation.outcome is Outcome.OK else None


def _compared(state: State, operation: Operation) -> State | None:
    expected, value = cast("tuple[int, Hashable]", operation.argument)
    applied, version = True, None
    if operation.outcome is Outcome.OK:
        applied, version = cast("tuple[bool, int | None]", operation.result)
    if not applied:
        return None if state[1] == expected else state
    settled = _settled(state, expected)
    return None if settled is None else _written(settled, value, version)


def _seen(operation: Operation) -> Seen:
    """Which value `operation` leaves, which it found, and by which versions it names either."""
    known = operation.outcome is Outcome.OK
    match operation.kind:
        case "get":
            value, version = cast("tuple[Hashable, int | None]", operation.result)
            return Seen(finds=value, found_version=version)
        case "put":
            return Seen(leaves=operation.argument, left_version=_told(operation, operation.result), overwrites=True)
        case "cas":
            expected, value = cast("tuple[int, Hashable]", operation.argument)
            applied, version = cast("tuple[bool, int | None]", operation.result) if known else (True, None)
            return Seen(leaves=value if applied else None, left_version=version, compares=expected, missed=not applied)
        case _:
            return Seen(overwrites=True)


class Counter:
    """A number. `add n` results in the sum after it, or None when not told; `get` results in the sum."""

    initial = 0

    def step(self, state: State, operation: Operation) -> State | None:
        match operation.kind:
            case "get":
                return state if operation.result == state else None
            case "add":
                after = state + operation.argument
                told = operation.result if operation.outcome is Outcome.OK else None
                return after if told is None or told == after else None
            case other:
                raise AssertionError(f"a counter has no {other!r}: {operation}")

    def only_reads(self, operation: Operation) -> bool:
        return operation.kind == "get"

    def unconditional(self, operation: Operation) -> Operation:
        return operation

    def facts(self, certain: Sequence[Operation], opened: Sequence[Operation]) -> Facts:
        return NO_FACTS

    def show(self, state: State) -> str:
        return str(state)
