"""A contract as Python: a Protocol, value classes and Faults, for who does not have its code.

Knows: how each schema of ours is written as a type; which imports that needs.
Never: files, clusters; the text is not run here.
Holds: the same description gives the same text, which passes mypy and pyright in strict mode, and the classes in it
       have the schemas that they were made from. Everything that becomes code is checked to be a name, or spelt as a
       literal.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from aether.errors import BadInput
from aether.model.artifact import Artifact
from aether.slice_api.description import ContractDescription, FaultDescription, MethodDescription
from aether.slice_api.schema import AT, NAMES, TYPE, Schema

_DOCSTRING_CHARS_MAX: Final = 2_000
_SCALARS: Final[Mapping[str, str]] = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
}
_IMPORTS: Final[Mapping[str, str]] = {
    "Decimal": "from decimal import Decimal",
    "UUID": "from uuid import UUID",
    "AsyncIterator": "from collections.abc import AsyncIterator",
    "enum": "import enum",
    "datetime": "import datetime",
}
_OF_TYPING: Final = frozenset({"Any", "Literal", "NamedTuple", "NotRequired", "Protocol", "TypedDict"})
_MODULE_OF: Final = {
    "datetime": "datetime.datetime",
    "date": "datetime.date",
    "time": "datetime.time",
    "timedelta": "datetime.timedelta",
}
_READERS: Final = {
    "Decimal": "Decimal({!r})",
    "UUID": "UUID({!r})",
    "datetime": "datetime.datetime.fromisoformat({!r})",
    "date": "datetime.date.fromisoformat({!r})",
    "time": "datetime.time.fromisoformat({!r})",
}


def export(description: ContractDescription) -> str:
    """The source text of a module. Raises BadInput for a description with names that are no Python names."""
    return _Module(description).text()


class _Module:
    def __init__(self, description: ContractDescription) -> None:
        self._description = description
        self._used: set[str] = {"Protocol"}

    def text(self) -> str:
        d = self._description
        if d.artifact:
            Artifact.parse(d.artifact)
        # Enums first: defaults of the others name their members.
        ordered = sorted(d.definitions.items(), key=lambda item: item[1].get(TYPE) not in ("enum", "flag"))
        values = [self._defined(name, schema) for name, schema in ordered]
        faults = [self._fault(fault) for fault in d.faults.values()]
        protocol = self._protocol()
        command = f"aether contract export {d.artifact or d.name}"
        head = f'"""The contract of {d.artifact or d.name}.\n\nWritten by `{command}`; not to be changed by hand.\n"""'
        return "\n\n\n".join(["\n".join([head, "", *self._imports()]), *values, *faults, protocol]) + "\n"

    def _imports(self) -> list[str]:
        standard = [_IMPORTS[name] for name in self._used & _IMPORTS.keys()]
        standard.append(f"from typing import {', '.join(sorted(self._used & _OF_TYPING))}")
        standard.sort(key=lambda line: (line.startswith("from"), line))
        third = ["import attrs", ""] if "attrs" in self._used else []
        return ["from __future__ import annotations", "", *standard, "", *third, "import aether"]

    # --- classes ------------------------------------------------------------------------------------------------------

    def _defined(self, name: str, schema: Schema) -> str:
        _name(name)
        kind = schema.get(TYPE)
        if kind == "enum":
            lines = self._enum(name, schema)
        elif kind == "flag":
            self._used.add("enum")
            members = cast("dict[str, int]", schema[NAMES])
            lines = [
                f"class {name}(enum.Flag):",
                *_doc(schema),
                *(f"    {_name(n)} = {int(v)}" for n, v in members.items()),
            ]
        elif kind == "named tuple":
            self._used.add("NamedTuple")
            fields = list(zip(cast("list[str]", schema[NAMES]), schema.get("prefixItems", []), strict=True))
            rows = [self._field(n, part, required=i < schema["minItems"]) for i, (n, part) in enumerate(fields)]
            lines = [f"class {name}(NamedTuple):", *_doc(schema), *rows]
        elif kind == "typed dict":
            self._used.add("TypedDict")
            lines = [f"class {name}(TypedDict):", *_doc(schema), *self._keys(schema)]
        else:
            self._used.add("attrs")
            lines = ["@attrs.frozen", f"class {name}:", *_doc(schema), *self._fields(schema)]
        return "\n".join(lines if len(lines) > 1 + (lines[0][0] == "@") else [*lines, "    pass"])

    def _enum(self, name: str, schema: Schema) -> list[str]:
        self._used.add("enum")
        pairs = zip(cast("list[str]", schema[NAMES]), schema["enum"], strict=True)
        return [f"class {name}(enum.Enum):", *_doc(schema), *(f"    {_name(n)} = {_literal(v)}" for n, v in pairs)]

    def _keys(self, schema: Schema) -> Iterator[str]:
        required = schema.get("required", ())
        for name, part in schema["properties"].items():
            if name not in required:
                self._used.add("NotRequired")
            yield f"    {_name(name)}: {self._type(part) if name in required else f'NotRequired[{self._type(part)}]'}"

    def _fields(self, schema: Schema) -> Iterator[str]:
        """Fields of an attrs class. A default that cannot be written makes a field required: it is always sent then."""
        optional = False
        for name, part in schema.get("properties", {}).items():
            line = self._field(name, part, required=name in schema.get("required", ()))
            has_default = " = " in line
            if optional and not has_default:
                line += " = attrs.field(kw_only=True)"
            optional = optional or has_default
            yield line

    def _field(self, name: str, schema: Schema, *, required: bool) -> str:
        line = f"    {_name(name)}: {self._type(schema)}"
        if required or "default" not in schema:
            return line
        default = self._default(schema, schema["default"])
        return line if default is None else f"{line} = {default}"

    def _fault(self, fault: FaultDescription) -> str:
        lines = [f"class {_name(fault.name)}(aether.Fault):", *_doc({"description": fault.detail}), ""]
        lines += [f"    status = {int(fault.status)}", f"    title = {_literal(fault.title)}"]
        properties: Mapping[str, Schema] = fault.schema.get("properties", {})
        required = fault.schema.get("required", ())
        return "\n".join([*lines, *(self._field(n, part, required=n in required) for n, part in properties.items())])

    # --- the Protocol -------------------------------------------------------------------------------------------------

    def _protocol(self) -> str:
        d = self._description
        lines = [f"@aether.contract({_literal(d.artifact)})"] if d.artifact else []
        lines += [f"class {_name(d.name)}(Protocol):", *_doc({"description": d.doc})]
        for method in d.methods.values():
            lines += ["", *self._method(method)] if len(lines) > 2 else self._method(method)
        return "\n".join(lines if d.methods or len(lines) > 2 else [*lines, "    pass"])

    def _method(self, method: MethodDescription) -> list[str]:
        parameters = ["self"]
        starred = False
        for p in method.parameters:
            if p.keyword_only and not starred:
                parameters.append("*")
                starred = True
            tp = self._type(p.schema)
            if p.stream:
                self._used.add("AsyncIterator")
                tp = f"AsyncIterator[{tp}]"
            default = None if p.required else self._simple_default(p.schema)
            parameters.append(f"{_name(p.name)}: {tp}" + ("" if p.required else f" = {default or '...'}"))
        returns = self._type(method.returns)
        if method.stream:
            self._used.add("AsyncIterator")
            returns = f"AsyncIterator[{returns}]"
        head = "def" if method.stream else "async def"
        mark = ["    @aether.method(idempotent=True)"] if method.idempotent else []
        line = f"    {head} {_name(method.name)}({', '.join(parameters)}) -> {returns}:"
        body = [f"    {text}" for text in _doc({"description": method.doc})]
        return [*mark, line, *body, "        ..."] if body else [*mark, f"{line} ..."]

    def _simple_default(self, schema: Schema) -> str | None:
        if "default" not in schema or isinstance(schema["default"], (list, dict)):
            return None
        return self._default(schema, schema["default"])

    # --- types --------------------------------------------------------------------------------------------------------

    def _type(self, schema: Schema) -> str:
        if "$ref" in schema:
            return _name(str(schema["$ref"]).removeprefix(AT))
        if "anyOf" in schema:
            return " | ".join(dict.fromkeys(self._type(member) for member in schema["anyOf"]))
        if "const" in schema or "enum" in schema:
            self._used.add("Literal")
            values = cast("list[object]", schema.get("enum", [schema.get("const")]))
            return f"Literal[{', '.join(map(_literal, values))}]"
        kind = schema.get(TYPE)
        if isinstance(kind, str) and kind.startswith("aether."):
            return f"aether.{_name(kind.removeprefix('aether.'))}"
        if schema.get("type") in ("array", "object"):
            return self._container(schema, str(kind or "list"))
        if kind in _MODULE_OF:
            self._used.add("datetime")
            return _MODULE_OF[str(kind)]
        if kind in ("bytes", "Decimal", "UUID"):
            self._used.add(str(kind))
            return str(kind)
        if schema.get("type") in _SCALARS:
            return _SCALARS[str(schema["type"])]
        self._used.add("Any")
        return "Any"

    def _container(self, schema: Schema, kind: str) -> str:
        if kind == "dict":  # a list of pairs
            key, value = schema["items"]["prefixItems"]
            return f"dict[{self._type(key)}, {self._type(value)}]"
        if schema.get("type") == "object":
            keys = schema.get("x-aether-keys")
            return f"dict[{'str' if keys is None else self._type(keys)}, {self._type(schema['additionalProperties'])}]"
        if schema.get("items") is False:
            return f"tuple[{', '.join(map(self._type, schema.get('prefixItems', []))) or '()'}]"
        item = self._type(schema["items"])
        return f"tuple[{item}, ...]" if kind == "tuple" else f"{_one_of(kind, 'list', 'set', 'frozenset')}[{item}]"

    def _default(self, schema: Schema, plain: Any) -> str | None:
        """A default as code; None when it has no short spelling."""
        if "anyOf" in schema and isinstance(plain, (str, int, float, bool, type(None))):
            member = next((m for m in schema["anyOf"] if _looks_like(plain, m)), None)
            return None if member is None else self._default(member, plain)
        definition = self._description.definitions.get(str(schema.get("$ref", "")).removeprefix(AT), {})
        if definition.get(TYPE) == "enum" and plain in definition["enum"]:
            member = definition[NAMES][definition["enum"].index(plain)]
            return f"{self._type(schema)}.{_name(member)}"
        if plain in ([], {}) and schema.get("type") in ("array", "object") and schema.get("items") is not False:
            made = self._type(schema)
            if made.startswith("tuple"):
                return "()"
            self._used.add("attrs")
            # A type that names a class may stand before that class, or in it.
            return f"attrs.field(factory={f'lambda: {made}()' if '$ref' in str(schema) else made})"
        kind = schema.get(TYPE)
        if kind in _READERS and isinstance(plain, str):
            self._type(schema)
            return _READERS[str(kind)].format(plain)
        simple = plain is None or isinstance(plain, (str, int, float, bool))
        return _literal(plain) if simple and kind is None and "$ref" not in schema else None


def _looks_like(plain: object, schema: Schema) -> bool:
    if "enum" in schema or "const" in schema:
        return plain in schema.get("enum", [schema.get("const")])
    kinds: Mapping[object, tuple[type, ...]] = {
        "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "null": (type(None),)
    }  # fmt: skip
    fits = isinstance(plain, kinds.get(schema.get("type"), ())) and TYPE not in schema
    return fits and (not isinstance(plain, bool) or schema.get("type") == "boolean")


def _doc(schema: Schema) -> list[str]:
    text = str(schema.get("description", ""))[:_DOCSTRING_CHARS_MAX]
    if not text.strip():
        return []
    lines = [line.rstrip() for line in text.replace("\\", "\\\\").replace('"""', "'''").strip().splitlines()]
    if len(lines) == 1:
        space = " " if lines[0].endswith('"') else ""
        return [f'    """{lines[0]}{space}"""']
    return [f'    """{lines[0]}', *(f"    {line}" if line else "" for line in lines[1:]), '    """']


def _literal(value: object) -> str:
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, str):
        quoted = repr(value)
        return f'"{quoted[1:-1]}"' if quoted[0] == "'" and '"' not in value else quoted
    raise BadInput("a contract that cannot be exported", (f"{value!r:.60} is no literal",))


def _name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise BadInput("a contract that cannot be exported", (f"{text!r:.60} is no name in Python",))
    return text


def _one_of(text: str, *known: str) -> str:
    if text not in known:
        raise BadInput("a contract that cannot be exported", (f"{text!r:.60} is none of {', '.join(known)}",))
    return text
