"""Which code a worker process runs: named by its node, loaded by the worker.

Knows: how a class is found again in another interpreter; the search path that goes with it.
Never: processes; instances.
Holds: the same class has the same coordinates on both sides. Only what a node names is imported, and only by name.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from aether.errors import ContractError
from aether.slice_api.contract import Contract, contract_of
from aether.slice_api.program import Program

SCRIPT: Final = "__aether_script__"
"""Name of a script's module in a worker: its `if __name__ == "__main__":` is not run again."""


def program_of(cls: type) -> Program:
    """The program of a class that is imported here. Raises ContractError when another process could not find it."""
    module, qualname = cls.__module__, cls.__qualname__
    if "<locals>" in qualname:
        raise ContractError(
            f'{module}.{qualname} cannot live with host="process": a worker process imports the class, so define it at '
            "the top of a module, not inside a function"
        )
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None) or ""
    file = _whole(file) if file else ""
    if module == "__main__":
        spec = getattr(loaded, "__spec__", None)
        module = SCRIPT if spec is None else spec.name
        if spec is None and not file:
            raise ContractError(f'{qualname} cannot live with host="process": it stands in no file; save it in one')
    return Program(module=module, qualname=qualname, file=file, path=tuple(map(_whole, sys.path)))


def load_program(module: str, qualname: str, file: str, artifact: str) -> Contract:
    """The contract of the class, in this process. Raises what importing it raised, or ContractError."""
    found: object = _module(module, file)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    if not isinstance(found, type):
        raise ContractError(f"{module} has no class {qualname} in a worker process; is it defined under a condition?")
    contract = contract_of(found)
    if str(contract.artifact) != artifact:
        raise ContractError(
            f"{module}.{qualname} is {contract.artifact} in a worker process and {artifact} in its node: "
            "both must find the same code"
        )
    return contract


def _module(name: str, file: str) -> ModuleType:
    if name != SCRIPT:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not file or error.name is None or not (name + ".").startswith(error.name + "."):
                raise  # something that the module itself imports is missing
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ContractError(f"{file} cannot be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except RuntimeError as error:
        if name == SCRIPT and "inside a run()" in str(error):
            raise ContractError(
                f'{file} opens its cluster when it is imported: put that below `if __name__ == "__main__":`'
            ) from error
        raise
    return module


def _whole(entry: str) -> str:
    """A path that means the same wherever another process stands."""
    return str(Path.cwd() / entry)
