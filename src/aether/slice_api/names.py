"""Names in annotations become types.

Knows: where a name may be defined: module globals, enclosing functions, names of registered slices.
Never: what a type means. No frame and no locals are kept: only the values of the names that annotations use.
Holds: an unresolved name is an error that says where it is imported and why that is not enough.
"""

from __future__ import annotations

import ast
import inspect
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final, ForwardRef

import attrs

from aether.errors import ContractError

RUFF_SETTING: Final = (
    'with ruff, set `lint.flake8-type-checking.runtime-evaluated-decorators = ["aether.slice", "aether.service"]`'
)


@attrs.frozen
class UnknownName(Exception):
    """An annotation uses `name`, which is not known yet."""

    name: str


def annotation_names(annotations: Mapping[str, Any]) -> frozenset[str]:
    """The names that string annotations use, those nested in objects too (`list["Line"]`)."""
    return frozenset(name for value in annotations.values() for text in _strings(value) for name in _names(text))


def captured(names: frozenset[str], qualname: str, module: str, frame: types.FrameType | None) -> dict[str, Any]:
    """Values of `names` in the functions that enclose `qualname` (`f.<locals>.Slice`), innermost first."""
    enclosing, found = _prefixes(qualname), dict[str, Any]()
    while frame is not None and names - found.keys():
        if frame.f_globals.get("__name__") == module and frame.f_code.co_qualname in enclosing:
            local = frame.f_locals
            found.update({name: local[name] for name in names - found.keys() if name in local})
        frame = frame.f_back
    return found


def evaluate(annotation: Any, module: str, local: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """`annotation` as a type, markers of Annotated kept; `local` names hide the module's, which hide `known` ones.

    Raises UnknownName.
    """
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    names = {**known, **(vars(sys.modules[module]) if module in sys.modules else {})}
    try:
        return typing.get_type_hints(holder, names, dict(local), include_extras=True)["it"]
    except NameError as error:
        raise UnknownName(error.name or str(error)) from error


def unresolved(where: str, name: str, module: str) -> ContractError:
    """The error for `name`, used by the annotation of `where`."""
    line = type_checking_import(module, name)
    if line is None:
        return ContractError(
            f"{where}: the name {name!r} is not known at run time. Import or define it in {module} at module level, or "
            "in a function that encloses the slice; a slice may also be named once it is registered"
        )
    return ContractError(
        f"{where}: the name {name!r} is not known at run time: line {line} of {module} imports it under TYPE_CHECKING. "
        f"Slices need their types at run time: move the import out of that block; {RUFF_SETTING}"
    )


def type_checking_import(module: str, name: str) -> int | None:
    """The line of `module` that imports `name` under `if TYPE_CHECKING:`; None when there is none."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):  # no source to look at: an interactive session
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for inner in node.body:
                if isinstance(inner, ast.Import | ast.ImportFrom) and any(
                    name == (alias.asname or alias.name) for alias in inner.names
                ):
                    return inner.lineno
    return None


def _strings(annotation: Any) -> Iterator[str]:
    if isinstance(annotation, str):
        yield annotation
    elif isinstance(annotation, ForwardRef):
        yield annotation.__forward_arg__
    elif typing.get_origin(annotation) is not typing.Literal:
        for inner in typing.get_args(annotation):
            yield from _strings(inner)


def _names(text: str) -> Iterator[str]:
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:  # reported with its place when the annotation is evaluated
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != text:
            yield from _names(node.value)


def _prefixes(qualname: str) -> frozenset[str]:
    parts = qualname.split(".<locals>.")
    return frozenset(".<locals>.".join(parts[:count]) for count in range(1, len(parts)))
