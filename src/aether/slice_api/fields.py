"""Field specifiers: where the value of a slice's field comes from.

Knows: config, secret, map, state and fencing token; the attrs field each becomes; the spec that hosting reads back.
Never: where configuration is stored, replicated maps.
Holds: a plainly constructed slice works: maps are in memory, state is fresh, config takes its default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Never, TypeVar, overload

import attrs

from aether.errors import ContractError
from aether.model.limits import MAP_BYTES_MAX_DEFAULT, MAP_ENTRIES_MAX_DEFAULT
from aether.slice_api.maps import Map

T = TypeVar("T")

SPEC: Final = "aether"
"""Key of the spec in an attrs field's metadata."""


@attrs.frozen
class ConfigSpec:
    """A value of the configuration. `key` is dotted, such as `shop.currency`."""

    key: str


@attrs.frozen
class SecretSpec:
    """A value of the secret store; never in `repr`."""

    key: str


@attrs.frozen
class MapSpec:
    """A replicated map, shared by everybody in the cluster who names it `name`."""

    name: str
    entries_max: int
    bytes_max: int


@attrs.frozen
class StateSpec:
    """State of one instance, made by `factory`; neither replicated nor kept."""

    factory: Callable[[], Any]


@attrs.frozen
class TokenSpec:
    """The fencing token of an instance of a singleton."""


Spec = ConfigSpec | SecretSpec | MapSpec | StateSpec | TokenSpec


@overload
def config(key: str, *, default: T) -> T: ...
@overload
def config(key: str) -> Any: ...
def config(key: str, *, default: Any = attrs.NOTHING) -> Any:
    """A value from the configuration, read as text and structured strictly to the field's type.

    key      dotted, such as `shop.currency`
    default  used when nothing configures `key`; without one the slice does not start until it is configured

    A unit test passes it to the constructor. Raises ContractError when `key` is no dotted name.
    """
    return attrs.field(default=default, metadata={SPEC: ConfigSpec(_key("config", key))})


@overload
def secret(key: str, *, default: T) -> T: ...
@overload
def secret(key: str) -> Any: ...
def secret(key: str, *, default: Any = attrs.NOTHING) -> Any:
    """A value from the secret store, like `config`, that never shows in `repr` and never in logs of aether.

    Raises ContractError when `key` is no dotted name.
    """
    return attrs.field(default=default, repr=False, metadata={SPEC: SecretSpec(_key("secret", key))})


def map(  # noqa: A001 - the public name; kept out of __all__
    name: str,
    *shadowed: Never,
    entries_max: int = MAP_ENTRIES_MAX_DEFAULT,
    bytes_max: int = MAP_BYTES_MAX_DEFAULT,
) -> Map[Any, Any]:
    """A replicated map, shared by all instances of the slice; in memory when the class is constructed plainly.

    name         of the map: all slices and nodes of the cluster that use it share one map
    entries_max  entries it may hold; bytes_max  bytes of all its keys and values

    Annotate the field `aether.Map[K, V]`. Raises ContractError for a wrong name or limit.
    """
    if shadowed or name.__class__ is not str:
        raise ContractError(
            f"aether.map names a replicated map, got {name!r}: did `from aether import map` shadow the builtin? "
            "Use `import aether` and `aether.map(...)`"
        )
    if not name or len(name) > 63 or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ContractError(f"{name!r} is no name of a map; use letters, digits, `.`, `_`, `-`; at most 63 characters")
    if entries_max < 1 or bytes_max < 1:
        raise ContractError(f"map {name!r}: entries_max={entries_max} and bytes_max={bytes_max} must be at least 1")
    spec = MapSpec(name, entries_max, bytes_max)

    def in_memory(owner: object) -> Map[Any, Any]:
        from aether.slice_api.contract import memory_map_for  # contract imports this module

        return memory_map_for(owner, spec)

    made: Map[Any, Any] = attrs.field(default=attrs.Factory(in_memory, takes_self=True), metadata={SPEC: spec})
    return made


def state(*, factory: Callable[[], T]) -> T:
    """State of one instance, made by `factory()` at each start. Not shared, not replicated, gone with the instance."""
    if not callable(factory):
        raise ContractError(f"aether.state(factory=...) needs a function such as `dict` or a lambda, got {factory!r}")
    made: Any = attrs.field(factory=factory, metadata={SPEC: StateSpec(factory)})
    return made  # type: ignore[no-any-return]  # attrs puts factory()'s value there


def fencing_token() -> int:
    """The number of this instance among all that ever ran of a singleton: above that of every instance before it.

    Give it to whatever outside the cluster the slice changes, and let that refuse a lower one than it has seen. The
    slice's own maps do so by themselves. Annotate the field `int`; 0 when the class is constructed plainly, and in an
    ordinary slice.
    """
    made: int = attrs.field(default=0, metadata={SPEC: TokenSpec()})
    return made


def _key(what: str, key: str) -> str:
    parts = key.split(".") if key.__class__ is str else [""]
    if not all(part.replace("-", "_").isidentifier() for part in parts):
        raise ContractError(f'{key!r} is no key; write aether.{what}("group.name"), dotted names')
    return key
