"""Which handler answers a verb and a path.

Knows: path templates such as `/api/orders/{order_id}` and `/assets/{rest:path}`, specificity, percent-decoding, HEAD
       and OPTIONS.
Never: what a target is, when routes appear or go; a new table is a new router.
Holds: a literal segment wins over a variable, and a variable over a rest of the path, segment by segment from the left,
       whatever the order of the routes;
       a path that only other verbs answer is WrongVerb, never Missing; matching visits a node of the tree at most once.
Paper: RFC 9110 9.3.2 (HEAD), 9.3.7 (OPTIONS), 15.5.6 (405).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar
from urllib.parse import unquote

import attrs

from aether.errors import BadInput

T = TypeVar("T")

VERBS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(:path)?\}")


@attrs.frozen
class Match(Generic[T]):
    """`target` answers; `variables` are percent-decoded, by the names of its own template."""

    target: T
    variables: Mapping[str, str]
    template: str


@attrs.frozen
class WrongVerb:
    """The path exists, under other verbs: 405, or 204 for OPTIONS, with `allow` as the Allow field."""

    allow: tuple[str, ...]


@attrs.frozen
class Missing:
    """No template fits the path: 404."""


@attrs.frozen
class RouteConflict:
    """Two routes answer the same verb and the same paths; the first was kept."""

    verb: str
    kept: str
    refused: str

    def __str__(self) -> str:
        return f"{self.verb} {self.refused} answers the same paths as {self.kept}; change one of the two templates"


@attrs.frozen
class _Entry(Generic[T]):
    target: T
    template: str
    names: tuple[str, ...]


class Segment(enum.IntEnum):
    """What one segment of a template stands for; true when it is a variable."""

    LITERAL = 0
    VARIABLE = 1  # `{name}`: one segment, not empty
    REST = 2  # `{name:path}`, last: all that is left of the path, slashes included; it may be empty


class _Node(Generic[T]):
    __slots__ = ("entries", "literals", "rest", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.variable: _Node[T] | None = None
        self.rest: _Node[T] | None = None
        self.entries: dict[str, _Entry[T]] = {}

    def child(self, text: str, kind: Segment) -> _Node[T]:
        """The node below for one segment of a template, made when there is none."""
        if kind is Segment.LITERAL:
            return self.literals.setdefault(text, _Node[T]())
        if kind is Segment.REST:
            self.rest = self.rest or _Node[T]()
            return self.rest
        self.variable = self.variable or _Node[T]()
        return self.variable


def parse_template(template: str) -> tuple[tuple[str, Segment], ...]:
    """Segments of `template` as (text, what it stands for). Raises BadInput that shows the rule."""
    if not template.startswith("/"):
        raise BadInput(f"route {template!r}", ("begin a path template with /",))
    segments: list[tuple[str, Segment]] = []
    for text in template[1:].split("/"):
        if segments and segments[-1][1] is Segment.REST:
            raise BadInput(f"route {template!r}", ("a {name:path} takes all that is left; let it be the last segment",))
        variable = _VARIABLE.fullmatch(text)
        if variable is None and ("{" in text or "}" in text):
            raise BadInput(
                f"route {template!r}", (f"{text!r}: a variable is a whole segment, such as /orders/{{order_id}}",)
            )
        if variable is None and ("?" in text or "#" in text):
            raise BadInput(f"route {template!r}", (f"{text!r}: a template holds the path alone, no query",))
        if variable is None:
            segments.append((unquote(text), Segment.LITERAL))
        else:
            segments.append((variable[1], Segment.REST if variable[2] else Segment.VARIABLE))
    names = [text for text, kind in segments if kind is not Segment.LITERAL]
    if len(set(names)) != len(names):
        raise BadInput(f"route {template!r}", ("a variable may appear once",))
    return tuple(segments)


class HttpRouter(Generic[T]):
    """An immutable table of routes.

    routes     (verb, template, target); of two that conflict the first is kept
    conflicts  those that were refused: the caller logs them, or refuses the table
    """

    def __init__(self, routes: Iterable[tuple[str, str, T]] = ()) -> None:
        self._root: _Node[T] = _Node()
        # A template without variables is the most specific of all for its own verb: found without walking.
        self._exact: dict[tuple[str, str], Match[T]] = {}
        conflicts: list[RouteConflict] = []
        for verb, template, target in routes:
            conflicts.extend(self._add(verb.upper(), template, target))
        self.conflicts: tuple[RouteConflict, ...] = tuple(conflicts)

    def match(self, verb: str, path: str) -> Match[T] | WrongVerb | Missing:
        """The most specific route for `verb` and the raw `path`. HEAD falls back to GET.

        Raises BadInput when a segment is not percent-encoded UTF-8.
        """
        exact = self._exact.get((verb, path))
        if exact is not None:
            return exact
        if not path.startswith("/"):
            return Missing()
        segments = path[1:].split("/")
        if "%" in path:
            segments = [_decode(segment) for segment in segments]
        allowed: set[str] = set()
        for node, values in _walk(self._root, segments, 0):
            entry = node.entries.get(verb)
            if entry is None and verb == "HEAD":
                entry = node.entries.get("GET")
            if entry is not None:
                return Match(entry.target, dict(zip(entry.names, values, strict=True)), entry.template)
            allowed |= node.entries.keys()
        return WrongVerb(_allow(allowed)) if allowed else Missing()

    def _add(self, verb: str, template: str, target: T) -> Iterator[RouteConflict]:
        node: _Node[T] = self._root
        names: list[str] = []
        for text, kind in parse_template(template):
            if kind is not Segment.LITERAL:
                names.append(text)
            node = node.child(text, kind)
        present = node.entries.setdefault(verb, _Entry[T](target, template, tuple(names)))
        if present.target is not target or present.template != template:
            yield RouteConflict(verb, present.template, template)
        elif not names and "%" not in template:
            self._exact[verb, template] = Match(target, {}, template)


def _walk(node: _Node[T], segments: list[str], at: int) -> Iterator[tuple[_Node[T], tuple[str, ...]]]:
    """Every node that fits, the most specific first, with the values of its variables."""
    if at == len(segments):
        if node.entries:
            yield node, ()
        return
    segment = segments[at]
    literal = node.literals.get(segment)
    if literal is not None:
        yield from _walk(literal, segments, at + 1)
    if node.variable is not None and segment:
        for found, values in _walk(node.variable, segments, at + 1):
            yield found, (segment, *values)
    if node.rest is not None:
        yield node.rest, ("/".join(segments[at:]),)


def _decode(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise BadInput("the path is not percent-encoded UTF-8", (f"path: {segment!r}",)) from error


def _allow(verbs: set[str]) -> tuple[str, ...]:
    implied = ("OPTIONS", "HEAD") if "GET" in verbs else ("OPTIONS",)
    return tuple(sorted(verbs.union(implied)))
