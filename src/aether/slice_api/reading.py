"""Whether one side reads what the other writes: two schemas of the codec, compared.

Knows: what our codec writes, and that it ignores unknown fields and fills in missing ones that have a default.
Never: values; schemas of other makers.
Holds: when no problem is found, every value of the writer's type is read by the reader's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import attrs

from aether.slice_api.schema import ANNOTATIONS, AT, TYPE, Schema

_TEXT: Final[Schema] = {"type": "string"}


@attrs.frozen
class Problem:
    """What the reader does not read. path  below the value, as in `.lines[].qty`"""

    path: str
    what: str


@attrs.frozen
class Comparison:
    """Definitions of both sides.

    complete  the writer leaves out no field: our codec does not, other clients may; heeded  fields that the reader does
    not know are a problem: it would ignore them
    """

    writer: Mapping[str, Schema]
    reader: Mapping[str, Schema]
    complete: bool = True
    heeded: bool = False

    def problems(self, writer: Schema, reader: Schema) -> tuple[Problem, ...]:
        """Why what `writer` describes is not always read as `reader`; () when it is."""
        return tuple(_Walk(self).problems(writer, reader, ""))


class _Walk:
    def __init__(self, sides: Comparison) -> None:
        self._sides = sides
        self._seen: set[tuple[str, str]] = set()

    def problems(self, writer: Schema, reader: Schema, path: str) -> Iterator[Problem]:
        pair = (str(writer.get("$ref", "")), str(reader.get("$ref", "")))
        if all(pair):
            if pair in self._seen:  # a type inside itself: judged where it was met first
                return
            self._seen.add(pair)
        writer, reader = _resolved(writer, self._sides.writer), _resolved(reader, self._sides.reader)
        if not (reader.keys() - ANNOTATIONS) and TYPE not in reader:
            return  # Any
        if "anyOf" in writer:
            for member in writer["anyOf"]:
                yield from self.problems(member, reader, path)
        elif "anyOf" in reader:
            yield from self._of_union(writer, reader, path)
        elif "enum" in writer or "const" in writer:
            yield from _of_values(writer, reader, path)
        else:
            yield from self._of_kind(writer, reader, path)

    def _of_union(self, writer: Schema, reader: Schema, path: str) -> Iterator[Problem]:
        """Read when one member reads it; of those of the same kind, the first says why not."""
        reasons: list[list[Problem]] = []
        for member in reader["anyOf"]:
            seen = set(self._seen)
            found = list(self.problems(writer, member, path))
            if not found:
                return
            self._seen = seen
            reasons.append(found)
        alike = [found for found in reasons if found[0].path != path]
        yield from alike[0] if alike else [Problem(path, f"{kind_of(writer)} is none of {kind_of(reader)}")]

    def _of_kind(self, writer: Schema, reader: Schema, path: str) -> Iterator[Problem]:
        wrote, reads = writer.get("type"), reader.get("type")
        if "enum" in reader or "const" in reader or not _same_kind(writer, reader):
            yield Problem(path, f"{kind_of(writer)} is no {kind_of(reader)}")
        elif wrote == "integer" and reads == "integer":
            if writer.get("minimum", 0) < reader.get("minimum", 0) or writer.get("maximum", 0) > reader.get(
                "maximum", 0
            ):
                yield Problem(path, f"values of {kind_of(writer)} that {kind_of(reader)} has not")
        elif wrote == "array":
            yield from self._of_array(writer, reader, path)
        elif wrote == "object":
            yield from self._of_object(writer, reader, path)

    def _of_array(self, writer: Schema, reader: Schema, path: str) -> Iterator[Problem]:
        if "prefixItems" not in reader and reader.get("items") is not False:
            items = writer.get("prefixItems", [writer.get("items", {})])
            for item in items:
                yield from self.problems(item, reader["items"], f"{path}[]")
        elif writer.get("items") is not False:
            yield Problem(path, f"a list of any length is no {kind_of(reader)}")
        else:
            wrote, reads = writer.get("prefixItems", []), reader.get("prefixItems", [])
            if writer["minItems"] < reader["minItems"] or len(wrote) > len(reads):
                yield Problem(path, f"{_count(writer)} items where {_count(reader)} are read")
                return
            for number, (item, place) in enumerate(zip(wrote, reads, strict=False)):
                yield from self.problems(item, place, f"{path}[{number}]")

    def _of_object(self, writer: Schema, reader: Schema, path: str) -> Iterator[Problem]:
        if "properties" in reader:
            yield from self._of_fields(writer, reader, path)
        elif "properties" in writer:
            if "x-aether-keys" in reader:
                yield Problem(path, f"{kind_of(writer)} is no {kind_of(reader)}")
            for name, schema in writer["properties"].items():
                yield from self.problems(schema, reader["additionalProperties"], f"{path}.{name}")
        else:
            yield from self.problems(
                writer.get("x-aether-keys", _TEXT), reader.get("x-aether-keys", _TEXT), f"{path}.keys()"
            )
            yield from self.problems(writer["additionalProperties"], reader["additionalProperties"], f"{path}[]")

    def _of_fields(self, writer: Schema, reader: Schema, path: str) -> Iterator[Problem]:
        if "properties" not in writer:
            yield Problem(path, f"an object of any names is no {kind_of(reader)}")
            return
        required = set(writer.get("required", ()))
        sure = set(writer["properties"]) if self._sides.complete and writer.get(TYPE) != "typed dict" else required
        if self._sides.heeded:
            for name in sorted(writer["properties"].keys() - reader["properties"].keys()):
                yield Problem(f"{path}.{name}", "is ignored, for there is no such field any more")
        for name, schema in reader["properties"].items():
            if name in writer["properties"]:
                yield from self.problems(writer["properties"][name], schema, f"{path}.{name}")
            if name in reader.get("required", ()) and name not in sure:
                gone = "may be missing" if name in writer["properties"] else "is not written"
                yield Problem(f"{path}.{name}", f"{gone}, and has no default")


def kind_of(schema: Schema) -> str:
    """What `schema` is, in a few words."""
    if "title" in schema:
        return str(schema["title"])
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(AT)
    if "anyOf" in schema:
        return " | ".join(kind_of(member) for member in schema["anyOf"])
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return " | ".join(repr(value) for value in schema["enum"])
    named = schema.get(TYPE) or _PYTHON.get(str(schema.get("type")), "Any")
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return f"{named}[{kind_of(schema['items'])}]"
    if "additionalProperties" in schema:
        return f"dict[{kind_of(schema.get('x-aether-keys', _TEXT))}, {kind_of(schema['additionalProperties'])}]"
    return str(named)


_PYTHON: Final = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "array": "list",
    "object": "dict",
}


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """`schema` with its reference opened, and the tag beside it added to the fields."""
    target = schema.get("$ref")
    if not isinstance(target, str):
        return schema
    found = definitions.get(target.removeprefix(AT), {})
    if "properties" not in schema:
        return found
    return {
        **found,
        "properties": {**found.get("properties", {}), **schema["properties"]},
        "required": [*found.get("required", ()), *schema.get("required", ())],
    }


def _same_kind(writer: Schema, reader: Schema) -> bool:
    wrote, reads = writer.get("type"), reader.get("type")
    if wrote == "integer" and reads == "number":
        return True
    if wrote != reads or ("bytes" in (writer.get(TYPE), reader.get(TYPE)) and writer.get(TYPE) != reader.get(TYPE)):
        return False
    if wrote is None:
        return writer.get(TYPE) == reader.get(TYPE)
    return reader.get("format") in (None, writer.get("format"))


def _of_values(writer: Schema, reader: Schema, path: str) -> Iterator[Problem]:
    reads = _values(reader)
    for value in _values(writer) or ():
        if reads is not None and not any(value == other and type(value) is type(other) for other in reads):
            yield Problem(path, f"{value!r} is none of {', '.join(map(repr, reads))}")
        elif reads is None and ("format" in reader or not _is_json(value, reader.get("type"))):
            yield Problem(path, f"{value!r} is no {kind_of(reader)}")


def _is_json(value: object, kind: object) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind in ("integer", "number"):
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, bool) if kind == "boolean" else value is None and kind == "null"


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return cast("list[Any] | None", schema.get("enum"))


def _count(schema: Schema) -> str:
    least, most = schema["minItems"], len(schema.get("prefixItems", []))
    return str(most) if least == most else f"{least} to {most}"
