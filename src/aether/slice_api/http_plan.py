"""How one route reads its arguments out of a request, and what it answers with.

Knows: templates, which parameter comes from where by the rules of HTTP parameters.
Never: sockets, which route a request matched, how a body is spelt (module http_body).
Holds: every problem of a request is reported at once, each with its place; unknown fields and parameters are ignored.
Paper: RFC 9110 9.3 for which verbs have a body.
"""

from __future__ import annotations

import collections.abc
import re
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final

import attrs

from aether.errors import BadInput, ContractError
from aether.model.route import RouteKind
from aether.slice_api.annotations import NoCodec, TypeOf, bare, is_object, origin_of, without_none
from aether.slice_api.codec import Codec, Form, camel, codec_of
from aether.slice_api.exchange import Body, Request
from aether.slice_api.http import Cookie, Header, HttpInput, Marker, Query
from aether.slice_api.http_body import ABSENT, PRODUCED, UNREADABLE, read_body
from aether.slice_api.json_text import fastest_json
from aether.slice_api.misfit import Misfit
from aether.slice_api.negotiation import choose_type
from aether.slice_api.request_misfit import RequestMisfit, RequestProblems
from aether.slice_api.textual import texts_of

_VARIABLE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::path)?\}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]+|\{[A-Za-z_][A-Za-z0-9_]*(?::path)?\}")
_INNER_REST: Final = re.compile(r":path\}.")
_BODY_VERBS: Final = frozenset({"POST", "PUT", "PATCH"})
STREAMS: Final = (collections.abc.AsyncIterator, collections.abc.AsyncIterable, collections.abc.AsyncGenerator)


@attrs.frozen
class ParameterSpec:
    """One parameter of a method. type  without its HTTP marker"""

    name: str
    type: TypeOf
    has_default: bool = False
    default: Any = None
    keyword_only: bool = False
    marker: Marker | None = None


def takes_input(p: ParameterSpec) -> bool:
    """Whether `p` takes what a client sends, piece by piece."""
    return p.marker is None and (bare(p.type) is Body or origin_of(bare(p.type)) in STREAMS)


@attrs.frozen
class Source:
    """A parameter outside the body. place  "path", "query", "header" or "cookie"; name  as spelt outside"""

    parameter: ParameterSpec
    place: str
    name: str
    read: Callable[[Sequence[str]], Any]
    many: bool
    optional: bool


@attrs.frozen
class BodyPart:
    """A parameter in the body, or the body itself. name  as spelt outside"""

    parameter: ParameterSpec
    name: str
    codec: Codec
    optional: bool


@attrs.frozen(kw_only=True)
class HttpPlan:
    """What `decode` does for one route; made once, at registration.

    sources   parameters outside the body; parts  those in it; whole  the only part is the body itself
    request   the parameter that takes the aether.Request, "" for none
    input     the parameter that takes what the client sends, piece by piece; "" for none
    kind      what passes over the route; status  of an answer that is no error
    produces  media types that the answer is spelt in, the default first; () when the method decides, or says nothing
    """

    where: str
    verb: str
    template: str
    sources: tuple[Source, ...]
    parts: tuple[BodyPart, ...]
    whole: bool
    request: str = ""
    input: str = ""
    kind: RouteKind = RouteKind.CALL
    status: int = 200
    produces: tuple[str, ...] = ()

    def decode(self, request: HttpInput) -> dict[str, Any]:
        """Arguments by name; omitted ones and `input` are absent. Raises RequestMisfit."""
        if self.produces:
            self.chosen(request)
        arguments: dict[str, Any] = {}
        problems = RequestProblems()
        for source in self.sources:
            self._read(source, request, arguments, problems)
        plain = read_body(request, problems) if self.parts else ABSENT
        if self.parts and plain is not UNREADABLE:
            self._read_body(plain, arguments, problems)
        if problems.lines:
            raise problems.misfit(self.where)
        if self.request:
            arguments[self.request] = _request(request)
        return arguments

    def chosen(self, request: HttpInput) -> str:
        """The media type of the answer. Raises RequestMisfit (406) when the client accepts none of `produces`."""
        accept = request.headers.get("accept", "")
        if not accept:
            return self.produces[0]
        found = choose_type(accept, self.produces)
        if found is None:
            offered = ", ".join(self.produces)
            raise RequestMisfit(
                f"{self.where} does not answer in {accept[:80]}",
                (f"header.accept: expected one of {offered}",),
                status=406,
                errors=({"in": "header", "name": "accept", "detail": f"expected one of {offered}"},),
            )
        return found

    def check_input(self, given: Container[str]) -> None:
        """What the client sends piece by piece has come. Raises BadInput."""
        if self.input and self.input not in given:
            raise BadInput(f"{self.where}: nothing came for the parameter {self.input!r}")

    def _read(self, source: Source, request: HttpInput, arguments: dict[str, Any], problems: RequestProblems) -> None:
        values = _VALUES[source.place](request, source.name)
        name = source.parameter.name
        if not values:
            if not source.parameter.has_default:
                if source.many or source.optional:
                    arguments[name] = None if source.optional else source.read(())
                else:
                    problems.outside(source.place, source.name, "missing")
            return
        try:
            arguments[name] = source.read(values)
        except Misfit as error:
            for below, what in error.problems:
                problems.outside(source.place, source.name, what, below)

    def _read_body(self, plain: Any, arguments: dict[str, Any], problems: RequestProblems) -> None:
        if self.whole:
            part = self.parts[0]
            if plain is ABSENT:
                _omit(part, "", arguments, problems)
            else:
                _structure(part, plain, "", arguments, problems)
            return
        fields: Any = {} if plain is ABSENT else plain
        if not isinstance(fields, dict):
            problems.inside("", f"expected an object with {', '.join(part.name for part in self.parts)}")
            return
        for part in self.parts:
            if part.name in fields:
                _structure(part, fields[part.name], part.name, arguments, problems)
            else:
                _omit(part, part.name, arguments, problems)


def _omit(part: BodyPart, where: str, arguments: dict[str, Any], problems: RequestProblems) -> None:
    if part.parameter.has_default:
        return
    if part.optional:
        arguments[part.parameter.name] = None
    else:
        problems.inside(where, "missing")


def _structure(part: BodyPart, plain: Any, where: str, arguments: dict[str, Any], problems: RequestProblems) -> None:
    try:
        arguments[part.parameter.name] = part.codec.decode(plain)
    except (Misfit, RecursionError) as error:
        found = error.problems if isinstance(error, Misfit) else (("", "nested too deeply"),)
        for below, what in found:
            problems.inside((where + below).lstrip("."), what)


def _request(given: HttpInput) -> Request:
    path, _, query_text = given.target.partition("?")
    return Request(
        verb=given.verb, path=path, query_text=query_text, variables=given.path, query=given.query,
        headers=given.headers, cookies=given.cookies, body=given.body, client=given.client,
    )  # fmt: skip


def http_plan(
    where: str,
    verb: str,
    template: str,
    parameters: Mapping[str, ParameterSpec],
    form: Form,
    *,
    kind: RouteKind = RouteKind.CALL,
    status: int = 200,
    says_nothing: bool = False,
) -> HttpPlan:
    """The plan of one route. Raises ContractError: a wrong template, a parameter that cannot come from its place.

    says_nothing  the method returns None: the answer has no content, so nothing is negotiated
    """
    fastest_json()  # imported now, and not while the first request waits
    rename = camel if form is Form.CAMEL else str
    variables = _variables(where, template, parameters, rename)
    sources: list[Source] = []
    body: list[ParameterSpec] = []
    taken: dict[str, str] = {"request": "", "input": ""}
    for p in parameters.values():
        place, name = _place(where, p, verb, kind, variables, rename)
        if place == "body":
            body.append(p)
        elif place in taken:
            if taken[place]:
                raise ContractError(f"{where}: both {taken[place]!r} and {p.name!r} take the {place}; keep one")
            taken[place] = p.name
        else:
            sources.append(_source(where, p, place, name))
    if body and (verb in ("GET", "HEAD") or taken["input"]):
        why = f"but {verb} has none" if verb in ("GET", "HEAD") else f"which {taken['input']!r} takes as it comes"
        raise ContractError(f"{where}: parameter {body[0].name!r} is in the body, {why}; use aether.Query()")
    whole = len(body) == 1 and (isinstance(body[0].marker, Body) or is_object(without_none(body[0].type)[0]))
    return HttpPlan(
        where=where, verb=verb, template=template, sources=tuple(sources), whole=whole,
        parts=tuple(BodyPart(p, rename(p.name), _codec(where, p, form), without_none(p.type)[1]) for p in body),
        request=taken["request"], input=taken["input"], kind=kind,
        status=204 if says_nothing and status == 200 else status,
        produces=() if says_nothing else PRODUCED.get(kind, ()),
    )  # fmt: skip


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
        raise ContractError(f"{where}: {template!r}: a {{name:path}} takes what is left; let it be the last segment")
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


def _place(
    where: str,
    p: ParameterSpec,
    verb: str,
    kind: RouteKind,
    variables: Mapping[str, str],
    rename: Callable[[str], str],
) -> tuple[str, str]:
    if p.name in variables:
        return "path", variables[p.name]
    if p.marker is None and bare(p.type) is Request:
        return "request", p.name
    if takes_input(p):
        if (bare(p.type) is Body) == (kind is RouteKind.WEBSOCKET):
            raise ContractError(
                f"{where}: parameter {p.name!r} takes what the client sends; annotate it "
                "`AsyncIterator[<message>]` for a WebSocket, `aether.Body` for the body of a request"
            )
        return "input", p.name
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


def _source(where: str, p: ParameterSpec, place: str, name: str) -> Source:
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
    return Source(p, place, name, texts.read, texts.many, without_none(p.type)[1])


def _codec(where: str, p: ParameterSpec, form: Form) -> Codec:
    try:
        return codec_of(p.type, form)
    except NoCodec as error:
        raise ContractError(f"{where}: {p.name}{error.path}: {error.reason}") from None


def _one(values: Mapping[str, str], name: str) -> Sequence[str]:
    return (values[name],) if name in values else ()


_VALUES: Final[Mapping[str, Callable[[HttpInput, str], Sequence[str]]]] = {
    "path": lambda request, name: _one(request.path, name),
    "query": lambda request, name: request.query.get(name, ()),
    "header": lambda request, name: _one(request.headers, name),
    "cookie": lambda request, name: _one(request.cookies, name),
}
