"""What decorators leave behind: marks on functions, a definition on a slice class.

Knows: the attributes under which they are stored, and how decorators share them in any order.
Never: types, codecs.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

MARKS: Final = "__aether_marks__"
SLICE: Final = "__aether_slice__"
STANDS_FOR: Final = "__aether_artifact__"
"""On a Protocol that `aether.contract` decorates: the Artifact that keeps it."""


@attrs.frozen
class RouteMark:
    """What a decorator states about one route. status  of an answer that is no error, 0 = 200; options  as in Route"""

    websocket: bool = False
    status: int = 0
    options: Mapping[str, str] = attrs.field(factory=dict[str, str])


PLAIN_ROUTE: Final = RouteMark()


@attrs.define
class Marks:
    """Facts that decorators state about one function.

    idempotent  None = not said; routes  (verb, template) in the order of the source, facts  more of some of them
    blocking    the undecorated `def`
    """

    idempotent: bool | None = None
    deadline_s: float | None = None
    affinity: str | None = None
    routes: tuple[tuple[str, str], ...] = ()
    facts: dict[tuple[str, str], RouteMark] = attrs.field(factory=dict[tuple[str, str], RouteMark])
    blocking: Callable[..., Any] | None = None
    lifespan: bool = False
    background: bool = False


def marks_of(function: object) -> Marks:
    """The marks of `function`; empty ones when no decorator touched it."""
    found = getattr(function, MARKS, None)
    return found if isinstance(found, Marks) else Marks()


def marked(function: object) -> Marks:
    """The marks of `function` to write to; created at the first decorator."""
    found = getattr(function, MARKS, None)
    if not isinstance(found, Marks):
        found = Marks()
        setattr(function, MARKS, found)
    return found


def is_protocol(cls: object) -> bool:
    """Whether `cls` is a Protocol itself, not a class that implements one."""
    return isinstance(cls, type) and bool(getattr(cls, "_is_protocol", False)) and cls is not typing.Protocol


def is_slice(cls: object) -> bool:
    """Whether `cls` was decorated itself; an undecorated subclass of a slice is none."""
    return isinstance(cls, type) and SLICE in cls.__dict__
