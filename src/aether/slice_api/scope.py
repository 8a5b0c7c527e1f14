"""What the annotations of one class mean: where its names are looked up.

Knows: names inside the class, around it, in its module, and of registered slices.
Never: what a type is good for.
Holds: a name that is not known yet is told apart from one that is no type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from aether.errors import ContractError
from aether.slice_api import names
from aether.slice_api.annotations import TypeOf


class Unresolved(ContractError):
    """A name in an annotation is not known (yet)."""


@attrs.frozen
class Scope:
    """Of `cls`. local  names of the functions around it; known  those of registered slices"""

    cls: type
    local: Mapping[str, Any]
    known: Mapping[str, type]

    def evaluate(self, where: str, annotation: Any, module: str) -> TypeOf:
        """The type that `annotation` means in `module`. Raises Unresolved, ContractError; both begin with `where`."""
        nested = {name: value for name, value in vars(self.cls).items() if isinstance(value, type)}
        try:
            return names.evaluate(annotation, module, {**nested, **self.local}, self.known)
        except names.UnknownName as error:
            raise Unresolved(str(names.unresolved(where, error.name, module))) from None
        except (TypeError, SyntaxError) as error:
            raise ContractError(f"{where}: {annotation!r} is no type: {error}") from error
