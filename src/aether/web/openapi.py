"""One OpenAPI document from what the nodes publish of their slices.

Knows: how operations and schemas of several contracts stand beside each other.
Never: contracts, classes: any node answers for every slice of the cluster.
Holds: operation ids and paths are unique, and the same rows give the same document on every node. Of two slices that
       claim one path the router serves the first; the document shows that one.
Paper: OpenAPI 3.1.0; RFC 9457.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from aether.model.artifact import ArtifactBase
from aether.web.problem import PROBLEM_TYPE

Plain = dict[str, Any]

_AT: Final = "#/components/schemas/"
_VARIABLE: Final = re.compile(r"\{(\w+)\}")
_VERBS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})

_PROBLEM: Final[Plain] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "error": {"type": "string", "description": "The same as detail."},
        "requestId": {"type": "string", "description": "Under which logs have it."},
        "retryAfterS": {"type": "number"},
        "fault": {"type": "string", "description": "The class of a slice's own error."},
        "problems": {"type": "array", "items": {"type": "string"}, "description": "All that does not fit."},
        "errors": {"type": "array", "items": {"type": "object"}, "description": "The same, each with its place."},
    },
    "required": ["type", "title", "status", "detail", "requestId"],
}


def openapi_document(published: Iterable[tuple[ArtifactBase, str]], title: str) -> Plain:
    """The document for all slices. published  (artifact, JSON text of its operations), "" for one without routes

    Of several texts of one artifact, which are its versions, the first one's operations stand where both have them.
    """
    made = _Document()
    for artifact, text in sorted(published, key=lambda each: each[0]):
        if text:
            made.add(artifact, cast("Plain", json.loads(text)))
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}],
        "tags": made.tags,
        "paths": dict(sorted(made.paths.items())),
        "components": {
            "schemas": {"Problem": _PROBLEM, **dict(sorted(made.schemas.items()))},
            "responses": {
                "Problem": {
                    "description": "Anything else that went wrong",
                    "content": {PROBLEM_TYPE: {"schema": {"$ref": f"{_AT}Problem"}}},
                }
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Document:
    def __init__(self) -> None:
        self.paths: dict[str, Plain] = {}
        self.schemas: dict[str, Plain] = {}
        self.tags: list[Plain] = []
        self._published: dict[str, Plain] = {}  # definitions as their slice spelt them
        self._spelt: dict[str, str] = {}  # shape of a path -> the template that came first
        self._ids: set[str] = set()
        self._tags: dict[ArtifactBase, str] = {}

    def add(self, artifact: ArtifactBase, published: Plain) -> None:
        """Take the operations of one slice."""
        tag = self._tag(artifact, published)
        names = self._take_schemas(published["schemas"], tag)
        for template, operations in sorted(published["paths"].items()):
            spelt = self._spelt.setdefault(_VARIABLE.sub("{}", template), template)
            item = self.paths.setdefault(spelt, {})
            renamed = dict(zip(_VARIABLE.findall(template), _VARIABLE.findall(spelt), strict=True))
            for verb, operation in operations.items():
                if verb not in item:
                    item[verb] = self._operation(artifact, verb, _referring(operation, names), tag, renamed)

    def _tag(self, artifact: ArtifactBase, published: Plain) -> str:
        if artifact in self._tags:  # another version of it
            return self._tags[artifact]
        tag = str(published["slice"])
        if any(known["name"] == tag for known in self.tags):
            tag = str(artifact)
        self._tags[artifact] = tag
        self.tags.append({"name": tag, "description": published["about"] or str(artifact)})
        return tag

    def _take_schemas(self, schemas: Mapping[str, Plain], tag: str) -> dict[str, str]:
        """Add the definitions of one slice. How each is called here: two slices may mean different things by a name."""
        own = {name for name, schema in schemas.items() if self._published.get(name, schema) != schema}
        own |= schemas.keys() & {"Problem"}
        while more := {name for name, schema in schemas.items() if name not in own and own & set(_references(schema))}:
            own |= more  # the same text, about something else
        names = {name: re.sub(r"[^\w.-]", "-", f"{tag}.{name}") if name in own else name for name in schemas}
        for name, schema in schemas.items():
            self._published.setdefault(names[name], schema)
            self.schemas.setdefault(names[name], _referring(schema, names))
        return names

    def _operation(
        self, artifact: ArtifactBase, verb: str, operation: Plain, tag: str, renamed: Mapping[str, str]
    ) -> Plain:
        own = operation["operationId"] if verb in _VERBS else ""
        if own in self._ids:
            own = f"{artifact}.{own}"
        self._ids.add(own)
        parameters = [
            {**parameter, "name": renamed[parameter["name"]]} if parameter["in"] == "path" else parameter
            for parameter in operation["parameters"]
        ]
        made = {**operation, "tags": [tag], "parameters": parameters, "x-aether-artifact": str(artifact)}
        return {**made, "operationId": own} if own else made


def _referring(plain: Any, names: Mapping[str, str]) -> Any:
    """`plain` with every reference to a schema under its name in the document."""
    if isinstance(plain, dict):
        named = cast("Plain", plain)
        return {
            key: _AT + names.get(value.removeprefix(_AT), value.removeprefix(_AT))
            if key == "$ref" and isinstance(value, str) and value.startswith(_AT)
            else _referring(value, names)
            for key, value in named.items()
        }
    return [_referring(item, names) for item in cast("list[Any]", plain)] if isinstance(plain, list) else plain


def _references(plain: Any) -> Iterator[str]:
    """Names of the schemas that `plain` refers to."""
    if isinstance(plain, dict):
        for key, value in cast("Plain", plain).items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_AT)
            else:
                yield from _references(value)
    elif isinstance(plain, list):
        for item in cast("list[Any]", plain):
            yield from _references(item)
