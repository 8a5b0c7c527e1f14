"""Finding the slices of `--app module[:attribute]`.

Knows: imports, `__all__`, the folder that comes first on the module path.
Never: running what it finds.
"""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from aether.errors import AetherError, BadInput
from aether.model.scale import Scale
from aether.slice_api.contract import contract_of
from aether.slice_api.marks import is_protocol, is_slice


def load_slices(apps: Sequence[str], folder: Path) -> list[type]:
    """The slice classes of all `apps`, each once. Raises BadInput that names the app and what to do, ContractError."""
    path = _importable(folder)
    found: dict[type, None] = {}
    for app in apps:
        found |= dict.fromkeys(_slices_of(app, path))
    return list(found)


def load_class(app: str, folder: Path) -> type:
    """The slice or Protocol `module:Class`. Raises BadInput."""
    name, _, attribute = app.partition(":")
    chosen = _attribute(app, _import(app, name, _importable(folder)), attribute)
    if not isinstance(chosen, type) or not (is_slice(chosen) or is_protocol(chosen)):
        raise BadInput(app, (f"{attribute} in {name} is neither a slice nor a Protocol",))
    return chosen


def describe(apps: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """One row per slice: artifact, class, default instances and their range, routes."""
    contracts = [contract_of(each) for each in load_slices(apps, folder)]
    return [
        {
            "artifact": str(contract.artifact),
            "class": contract.cls.__qualname__,
            "instances": contract.options.instances,
            "scale": _plain(contract.options.scale),
            "routes": [f"{route.verb} {route.template}" for route in contract.routes],
        }
        for contract in contracts
    ]


def blueprint_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """A first blueprint, as TOML. rows  of `describe`"""
    parts = [f'\n[[slices]]\nartifact = "{row["artifact"]}"\ninstances = {_count(row)}\n' for row in rows]
    return "".join(['id = "app:1.0.0"\n', *parts])


def _count(row: Mapping[str, Any]) -> str:
    """What a blueprint says of the instances of a slice: the range of its code when it has one."""
    scale = row["scale"]
    if scale is None:
        return str(row["instances"])
    sleeps = f", idle = {scale['idle']:g}" if scale["min"] == 0 else ""
    return f"{{ min = {scale['min']}, max = {scale['max']}{sleeps} }}"


def _plain(scale: Scale | None) -> dict[str, Any] | None:
    return None if scale is None else {"min": scale.min, "max": scale.max, "idle": scale.idle_s}


def _importable(folder: Path) -> str:
    """The absolute path of `folder`, from which modules can be imported now."""
    path = str(folder.resolve())
    if path not in sys.path:
        sys.path.insert(0, path)
    return path


def _attribute(given: str, module: ModuleType, name: str) -> Any:
    """Raises BadInput: `given` names what `module` has not."""
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, vars(module), n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise BadInput(given, (f"{module.__name__} has no {name}{meant}",))
    return getattr(module, name)


def _slices_of(app: str, path: str) -> list[type]:
    name, _, attribute = app.partition(":")
    module = _import(f"--app {app}", name, path)
    if attribute:
        chosen = _attribute(f"--app {app}", module, attribute)
        if not is_slice(chosen):
            raise BadInput(
                f"--app {app}", (f"{attribute} in {name} is no slice; decorate the class with @aether.slice",)
            )
        assert isinstance(chosen, type)
        return [chosen]
    names = getattr(module, "__all__", None)
    listed = [getattr(module, each, None) for each in names] if names is not None else list(vars(module).values())
    found = [each for each in listed if isinstance(each, type) and is_slice(each)]
    found = [each for each in found if names is not None or each.__module__ == module.__name__]
    if not found:
        raise BadInput(
            f"--app {app}", (f"{name} defines no slice; decorate a class with @aether.slice, or list it in __all__",)
        )
    return found


def _import(given: str, name: str, path: str) -> ModuleType:
    """Raises BadInput: `given` is what the user wrote."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            module = name.removesuffix(".py")
            meant = (
                "--app-dir names another folder"
                if module == name
                else f"write the module's name, {module}, without .py"
            )
            raise BadInput(given, (f"no module {name!r} in {path}; {meant}",)) from error
        raise _broken(given, error) from error
    except AetherError:
        raise  # says which class breaks which rule
    except (Exception, SystemExit) as error:
        raise _broken(given, error) from error


def _broken(given: str, error: BaseException) -> BadInput:
    """Whatever an import raised, as one line with its place: people look for a mistake of their own, not of ours."""
    place = ""
    if isinstance(error, SyntaxError):
        place = f"{error.filename}:{error.lineno}: "
    else:
        own = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
        place = f"{own[-1].filename}:{own[-1].lineno}: " if len(own) > 1 else ""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return BadInput(f"{given} cannot be imported", (f"{place}{type(error).__name__}: {said}",))
