"""What a contract offers over HTTP, as the operations and schemas of OpenAPI.

Knows: routes and how each is read and answered (module http_plan), schemas of types, declared faults.
Never: other contracts (room web joins what nodes publish into one document), requests.
Holds: plain data that JSON can spell, the same in every process; an operation is known by `Slice.method`.
Paper: OpenAPI 3.1.0 (4.8.10 operations, 4.8.12 parameters); RFC 9457 for faults.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from aether.model.route import RouteKind
from aether.slice_api.annotations import bare, without_none
from aether.slice_api.contract import Contract
from aether.slice_api.description import declared_faults
from aether.slice_api.exchange import Body
from aether.slice_api.faults import Fault, detail_of
from aether.slice_api.http_body import CONSUMED, JSON, JSON_LINES
from aether.slice_api.http_plan import BodyPart, HttpPlan, Source
from aether.slice_api.methods import MethodSpec
from aether.slice_api.schema import Schema, Schemas

Plain = dict[str, Any]

AT: Final = "#/components/schemas/"
PROBLEM: Final = "application/problem+json"
PROBLEM_SCHEMA: Final = {"$ref": f"{AT}Problem"}
_PROBLEM_RESPONSE: Final = {"$ref": "#/components/responses/Problem"}
_REST: Final = re.compile(r":path\}")


def operations_of(contract: Contract) -> Plain:
    """`{"slice", "about", "paths": {template: {verb: operation}}, "schemas"}`; {} for a contract without routes.

    The operations of WebSocket routes stand under "x-aether-websocket", since OpenAPI has no word for them.
    """
    if not contract.routes:
        return {}
    made = _Operations(contract)
    paths: dict[str, Plain] = {}
    for method in contract.methods.values():
        for number, plan in enumerate(method.plans.values()):
            key = "x-aether-websocket" if plan.kind is RouteKind.WEBSOCKET else plan.verb.lower()
            paths.setdefault(_REST.sub("}", plan.template), {})[key] = made.operation(method, plan, number)
    return {"slice": contract.name, "about": contract.doc, "paths": paths, "schemas": made.schemas.definitions}


class _Operations:
    """The operations of one contract, whose schemas share their definitions."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        form = next(iter(contract.methods.values())).form
        self.schemas = Schemas(form, at=AT)
        self._faults = tuple(map(self._fault, declared_faults(contract)))

    def operation(self, method: MethodSpec, plan: HttpPlan, number: int) -> Plain:
        summary, _, more = method.doc.partition("\n\n")
        made: Plain = {
            "operationId": method.where if number == 0 else f"{method.where}.{number + 1}",
            "tags": [self._contract.name],
            "summary": summary.replace("\n", " ") or method.where,
            "parameters": [self._parameter(source) for source in plan.sources],
            "responses": self._responses(method, plan),
        }
        if more:
            made["description"] = more
        body = self._body(method, plan)
        if body:
            made["requestBody"] = body
        if method.idempotent:
            made["x-aether-idempotent"] = True
        return made

    def _parameter(self, source: Source) -> Plain:
        p = source.parameter
        inner, _ = without_none(p.type)
        schema = self.schemas.of(inner)
        if p.has_default and p.default is not None:
            schema = {**schema, **self.schemas.default(inner, p.default)}
        if source.place == "path" and schema == {"type": "string"}:
            schema = {**schema, "minLength": 1}  # an empty segment is another path
        required = source.place == "path" or not (p.has_default or source.optional or source.many)
        return {"name": source.name, "in": source.place, "required": required, "schema": schema}

    # --- bodies -------------------------------------------------------------------------------------------------------

    def _body(self, method: MethodSpec, plan: HttpPlan) -> Plain:
        if plan.parts:
            schema = self._part(plan.parts[0]) if plan.whole else self._merged(plan.parts)
            required = any(_is_required(part) for part in plan.parts)
            return {"required": required, "content": {media: {"schema": schema} for media in CONSUMED}}
        if plan.input and bare(method.parameters[plan.input].type) is Body:
            required = not method.parameters[plan.input].has_default
            return {"required": required, "content": {"application/octet-stream": {"schema": _bytes()}}}
        if plan.input:
            item, _ = method.message_codec(plan.input)
            return {"required": True, "content": {JSON: {"schema": self.schemas.of(item)}}}
        return {}

    def _part(self, part: BodyPart) -> Schema:
        p = part.parameter
        found = self.schemas.of(p.type)
        return {**found, **self.schemas.default(p.type, p.default)} if p.has_default else found

    def _merged(self, parts: Iterable[BodyPart]) -> Schema:
        required = [part.name for part in parts if _is_required(part)]
        properties = {part.name: self._part(part) for part in parts}
        return {"type": "object", "properties": properties, **({"required": required} if required else {})}

    # --- responses ----------------------------------------------------------------------------------------------------

    def _responses(self, method: MethodSpec, plan: HttpPlan) -> Plain:
        responses = dict(self._success(method, plan))
        by_status: dict[str, list[tuple[str, Schema]]] = {}
        for status, title, schema in self._faults:
            by_status.setdefault(status, []).append((title, schema))
        if plan.sources or plan.parts:
            by_status.setdefault("422", []).append(("The request does not fit", PROBLEM_SCHEMA))
        for status, found in sorted(by_status.items()):
            # The runtime itself may answer in any status, so a problem that is no fault fits too.
            schemas = [*(schema for _, schema in found if schema != PROBLEM_SCHEMA), PROBLEM_SCHEMA]
            titles = "; ".join(dict.fromkeys(title for title, _ in found))
            responses[status] = {"description": titles, "content": {PROBLEM: {"schema": {"anyOf": schemas}}}}
        return {**responses, "default": _PROBLEM_RESPONSE}

    def _success(self, method: MethodSpec, plan: HttpPlan) -> Iterator[tuple[str, Plain]]:
        if plan.kind is RouteKind.WEBSOCKET:
            content = {JSON: {"schema": self.schemas.of(method.returns)}} if method.stream else {}
            yield "101", {"description": "The connection is a WebSocket", **({"content": content} if content else {})}
        elif plan.kind is RouteKind.RESPONSE:
            yield "2XX", {"description": "What the method answers", "content": {"*/*": {}}}
        elif plan.kind is RouteKind.STREAM:
            item = {"x-aether-item": self.schemas.of(method.returns)}
            content = {media: {"schema": {"type": "string"}, **item} for media in plan.produces}
            yield str(plan.status), {"description": f"Items, one a line as {JSON_LINES}, or events", "content": content}
        elif plan.produces:
            schema = self.schemas.of(method.returns)
            content = {media: {"schema": schema} for media in plan.produces}
            yield str(plan.status), {"description": "Done", "content": content}
        else:
            yield str(plan.status), {"description": "Done"}

    def _fault(self, cls: type[Fault]) -> tuple[str, str, Schema]:
        """(status, title, schema of the problem) of one declared fault."""
        name = self.schemas.of(cls)["$ref"].removeprefix(AT)
        fields = self.schemas.definitions[name]
        properties: Mapping[str, Schema] = fields.get("properties", {})
        self.schemas.definitions[name] = {
            "title": cls.title,
            "description": detail_of(cls),
            "allOf": [
                PROBLEM_SCHEMA,
                {
                    "type": "object",
                    "properties": {**properties, "fault": {"const": cls.__name__}, "status": {"const": cls.status}},
                    "required": ["fault", *fields.get("required", ())],
                },
            ],
        }
        return str(cls.status), cls.title, {"$ref": AT + name}


def _is_required(part: BodyPart) -> bool:
    return not (part.parameter.has_default or part.optional)


def _bytes() -> Schema:
    return {"type": "string", "format": "binary"}
