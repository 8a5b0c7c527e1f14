"""How one route reads its arguments out of a request, and writes its result.

Knows: templates, which parameter comes from where by the rules of HTTP parameters, JSON text.
Never: sockets, status codes, which route a request matched.
Holds: every problem of a request is reported at once, each with its place; unknown fields and parameters are ignored.
Paper: RFC 8259 (JSON); RFC 9110 9.3 for which verbs have a body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from aether.errors import BadInput, ContractError
from aether.slice_api.annotations import NoCodec, TypeOf, is_object, without_none
from aether.slice_api.codec import Codec, Form, camel, codec_of
from aether.slice_api.http import Body, Cookie, Header, HttpInput, Marker, Query
from aether.slice_api.misfit import Misfit
from aether.slice_api.textual import texts_of

_VARIABLE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::path)?\}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]+|\{[A-Za-z_][A-Za-z0-9_]*(?::path)?\}")
_INNER_REST: Final = re.compile(r":path\}.")
_BODY_VERBS: Final = frozenset({"POST", "PUT", "PATCH"})
Problems = list[str]


@attrs.frozen
class ParameterSpec:
    """One parameter of a method. type  without its HTTP marker"""

    name: str
    type: TypeOf
    has_default: bool = False
    default: Any = None
    keyword_only: bool = False
    marker: Marker | None = None


@attrs.frozen
class _Source:
    """A parameter outside the body. place  "path", "query", "header" or "cookie"; name  as spelt outside"""

    parameter: ParameterSpec
    place: str
    name: str
    read: Callable[[Sequence[str]], Any]
    many: bool
    optional: bool


@attrs.frozen
class _BodyPart:
    parameter: ParameterSpec
    name: str
    codec: Codec
    optional: bool


@attrs.frozen
class HttpPlan:
    """What `decode` does for one route; made once, at registration."""

    where: str
    sources: tuple[_Source, ...]
    parts: tuple[_BodyPart, ...]
    whole: bool

    def decode(self, request: HttpInput) -> dict[str, Any]:
        """Arguments by name; omitted ones are absent. Raises BadInput, `malformed` when no JSON was read."""
        arguments: dict[str, Any] = {}
        problems: Problems = []
        for source in self.sources:
            self._read(source, request, arguments, problems)
        plain = _json(request, problems) if self.parts else _ABSENT
        if self.parts and plain is not _UNREADABLE:
            self._read_body(plain, arguments, problems)
        if problems:
            malformed = plain is _UNREADABLE
            raise BadInput(f"the request does not fit {self.where}", tuple(problems), malformed=malformed)
        return arguments

    def _read(self, source: _Source, request: HttpInput, arguments: dict[str, Any], problems: Problems) -> None:
        values = _VALUES[source.place](request, source.name)
        name = source.parameter.name
        if not values:
            if not source.parameter.has_default:
                if source.many or source.optional:
                    arguments[name] = None if source.optional else source.read(())
                else:
                    problems.append(f"{source.place}.{source.name}: missing")
            return
        try:
            arguments[name] = source.read(values)
        except Misfit as error:
            problems += (f"{source.place}.{source.name}{below}: {what}" for below, what in error.problems)

    def _read_body(self, plain: Any, arguments: dict[str, Any], problems: Problems) -> None:
        if self.whole:
            part = self.parts[0]
            if plain is _ABSENT:
                self._omit(part, "body", arguments, problems)
            else:
                self._structure(part, plain, "", arguments, problems)
            return
        fields: Any = {} if plain is _ABSENT else plain
        if not isinstance(fields, dict):
            problems.append(f"body: expected an object with {', '.join(part.name for part in self.parts)}")
            return
        for part in self.parts:
            if part.name in fields:
                self._structure(part, fields[part.name], part.name, arguments, problems)
            else:
                self._omit(part, part.name, arguments, problems)

    def _omit(self, part: _BodyPart, where: str, arguments: dict[str, Any], problems: Problems) -> None:
        if part.parameter.has_default:
            return
        if part.optional:
            arguments[part.parameter.name] = None
        else:
            problems.append(f"{where}: missing")

    def _structure(
        self, part: _BodyPart, plain: Any, where: str, arguments: dict[str, Any], problems: Problems
    ) -> None:
        try:
            arguments[part.parameter.name] = part.codec.decode(plain)
        except (Misfit, RecursionError) as error:
            found = error.problems if isinstance(error, Misfit) else (("", "nested too deeply"),)
            problems += (f"{(where + below).lstrip('.') or 'body'}: {what}" for below, what in found)


def http_plan(where: str, verb: str, template: str, parameters: Mapping[str, ParameterSpec], form: Form) -> HttpPlan:
    """The plan of one route. Raises ContractError: a wrong template, a parameter that cannot come from its place."""
    rename = camel if form is Form.CAMEL else str
    variables = _variables(where, template, parameters, rename)
    sources: list[_Source] = []
    body: list[ParameterSpec] = []
    for p in parameters.values():
        place, name = _place(p, verb, variables, rename)
        if place == "body":
            body.append(p)
        else:
            sources.append(_source(where, p, place, name))
    if body and verb in ("GET", "HEAD"):
        raise ContractError(
            f"{where}: parameter {body[0].name!r} is in the body, but {verb} has none; use aether.Query()"
        )
    whole = len(body) == 1 and (isinstance(body[0].marker, Body) or is_object(without_none(body[0].type)[0]))
    parts = tuple(_BodyPart(p, rename(p.name), _codec(where, p, form), without_none(p.type)[1]) for p in body)
    return HttpPlan(where, tuple(sources), parts, whole)


def _variables(
    where: str, template: str, parameters: Mapping[str, ParameterSpec], rename: Callable[[str], str]
) -> dict[str, str]:
    segments = template.split("/")[1:]
    if not template.startswith("/") or (template != "/" and not all(_SEGMENT.fullmatch(s) for s in segments)):
        raise ContractError(
            f"{where}: {template!r} is no path template; write segments such as /orders/{{order_id}}, each variable "
            "a whole segment"
        )
    if _INNER_REST.search(template):
        raise ContractError(
            f"{where}: {template!r}: a {{name:path}} takes all that is left; let it be the last segment"
        )
    found = _VARIABLE.findall(template)
    by_name = {rename(name): name for name in parameters} | {name: name for name in parameters}
    for name in found:
        if name not in by_name:
            raise ContractError(
                f"{where}: the template {template} has a variable {{{name}}}, but the method has no such parameter; "
                f"it has {', '.join(parameters) or 'none'}"
            )
    if len(set(found)) != len(found):
        raise ContractError(f"{where}: the template {template} names a variable twice")
    return {by_name[name]: name for name in found}


def _place(p: ParameterSpec, verb: str, variables: Mapping[str, str], rename: Callable[[str], str]) -> tuple[str, str]:
    if p.name in variables:
        return "path", variables[p.name]
    match p.marker:
        case Query(name):
            return "query", name or rename(p.name)
        case Header(name):
            return "header", (name or p.name.replace("_", "-")).lower()
        case Cookie(name):
            return "cookie", name or rename(p.name)
        case Body():
            return "body", p.name
        case _:
            return ("body", p.name) if verb in _BODY_VERBS else ("query", rename(p.name))


def _source(where: str, p: ParameterSpec, place: str, name: str) -> _Source:
    try:
        texts = texts_of(p.type)
    except NoCodec as error:
        raise ContractError(
            f"{where}: parameter {p.name!r} comes from the {place}, but {error.reason}; "
            f"for a larger value use POST, or Annotated[..., aether.Body()] where the verb has a body"
        ) from None
    if texts.many and place != "query":
        raise ContractError(
            f"{where}: parameter {p.name!r} is a list, which only the query can repeat, not the {place}"
        )
    return _Source(p, place, name, texts.read, texts.many, without_none(p.type)[1])


def _codec(where: str, p: ParameterSpec, form: Form) -> Codec:
    try:
        return codec_of(p.type, form)
    except NoCodec as error:
        raise ContractError(f"{where}: {p.name}{error.path}: {error.reason}") from None


_ABSENT: Final = object()
_UNREADABLE: Final = object()


def _json(request: HttpInput, problems: Problems) -> Any:
    if not request.body:
        return _ABSENT
    kind = request.content_type.partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not kind.endswith("+json"):
        problems.append(f"header.content-type: expected application/json, got {kind}")
        return _UNREADABLE
    try:
        return json.loads(request.body.decode("utf-8"), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        problems.append(f"body: no JSON at line {error.lineno} column {error.colno}: {error.msg}")
    except UnicodeDecodeError as error:
        problems.append(f"body: no UTF-8 at byte {error.start}")
    except RecursionError:
        problems.append("body: nested too deeply")
    except ValueError as error:
        problems.append(f"body: {error}")
    return _UNREADABLE


def _no_constant(text: str) -> Any:
    raise ValueError(f"JSON has no {text}")


def _one(values: Mapping[str, str], name: str) -> Sequence[str]:
    return (values[name],) if name in values else ()


_VALUES: Final[Mapping[str, Callable[[HttpInput, str], Sequence[str]]]] = {
    "path": lambda request, name: _one(request.path, name),
    "query": lambda request, name: request.query.get(name, ()),
    "header": lambda request, name: _one(request.headers, name),
    "cookie": lambda request, name: _one(request.cookies, name),
}
