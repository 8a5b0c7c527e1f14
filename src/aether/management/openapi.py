"""The endpoint table as an OpenAPI document.

Knows: OpenAPI 3.1's words for paths, parameters and bodies.
Never: handlers.
Holds: made from the table alone, so it names every path and no other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Final

from aether.management.endpoint import DRY_RUN, Endpoint
from aether.management.schema import Field, Kind, Schema
from aether.management.table import ENDPOINTS
from aether.model.access import Role
from aether.web.problem import PROBLEM_TYPE
from aether.web.request import JSON_TYPE
from aether.web.router import parse_template

_TYPES: Final = {
    Kind.TEXT: "string",
    Kind.WHOLE: "integer",
    Kind.SECONDS: "number",
    Kind.NUMBER: "number",
    Kind.FLAG: "boolean",
}

_IF_MATCH: Final[dict[str, object]] = {
    "name": "If-Match",
    "in": "header",
    "description": "a revision in quotes: only if nothing that the change is about has changed after it, else 412",
    "schema": {"type": "string"},
}

PROBES: Final = {
    "/health/live": "Whether the process runs.",
    "/health/ready": "Whether this node may be sent requests: 200 or 503.",
    "/openapi.json": "This document.",
    "/dashboard": "The page of the cluster, for people; its files lie below.",
}
"""Paths beside the table: they take no query and wait for nothing."""


def openapi_document() -> dict[str, object]:
    """The whole API; every path also answers below `/api`."""
    paths: dict[str, dict[str, object]] = defaultdict(dict)
    for endpoint in ENDPOINTS:
        paths[endpoint.path.replace(":path}", "}")] |= _path(endpoint)
    for path, about in PROBES.items():
        paths[path] = {"get": {"summary": about, "responses": _responses()}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "aether management API", "version": "1"},
        "servers": [{"url": "/"}, {"url": "/api"}],
        "paths": paths,
    }


def _path(endpoint: Endpoint) -> dict[str, object]:
    operation: dict[str, object] = {"summary": endpoint.about, "responses": _responses()}
    names = [text for text, is_variable in parse_template(endpoint.path) if is_variable]
    operation["x-role"] = endpoint.role.word
    operation["parameters"] = [
        *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names),
        *({"name": f.name, "in": "query", "description": f.about, "schema": _field(f)} for f in endpoint.query.fields),
        *((_IF_MATCH,) if DRY_RUN in endpoint.query.fields else ()),
    ]
    if endpoint.changes_something:
        content: dict[str, object] = {JSON_TYPE: {"schema": _object(endpoint.body)}}
        if endpoint.toml:
            content["application/toml"] = {"schema": {"type": "string"}}
        if not endpoint.deletes:
            operation["requestBody"] = {"required": True, "content": content}
    if endpoint.role > Role.VIEWER:
        operation["security"] = [{"bearer": []}]
    return {verb.lower(): operation for verb in endpoint.verbs}


def _object(schema: Schema) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {field.name: _field(field) | {"description": field.about} for field in schema.fields},
        "required": [field.name for field in schema.fields if field.required],
    }


def _field(field: Field) -> dict[str, object]:
    shown: dict[str, object] = {"type": _TYPES[field.kind]} if field.kind in _TYPES else {}
    if field.kind in (Kind.WHOLE, Kind.SECONDS, Kind.NUMBER):
        shown["minimum"] = field.low
        if math.isfinite(field.high):
            shown["maximum"] = field.high
    return shown


def _responses() -> dict[str, object]:
    return {
        "200": {"description": "as asked", "content": {JSON_TYPE: {}}},
        "default": {"description": "a problem (RFC 9457)", "content": {PROBLEM_TYPE: {}}},
    }
