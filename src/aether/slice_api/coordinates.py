"""The default coordinates of a slice: `group:artifact:version`.

Knows: top-level packages, kebab case, versions of installed distributions.
Never: where a blueprint is stored.
Holds: the same class gets the same coordinates as a script (`__main__`) and through `--app`.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Collection, Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from aether.errors import BadInput, ContractError
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.version import Version

if TYPE_CHECKING:
    from importlib.metadata import Distribution

SCRIPT_GROUP: Final = "app"
UNVERSIONED: Final = Version(0, 0, 0)


def coordinates(cls: type, given: str | None) -> Artifact:
    """`given`, completed by the defaults. Raises ContractError when it is malformed or no default can be made."""
    if given is None:
        return _base(cls).at(distribution_version(package_of(cls.__module__)))
    try:
        if given.count(":") == 1:
            return ArtifactBase.parse(given).at(distribution_version(package_of(cls.__module__)))
        return Artifact.parse(given)
    except BadInput as error:
        raise ContractError(f"@aether.slice(artifact={given!r}) on {cls.__name__}: {error}") from error


def package_of(module: str) -> str | None:
    """The top-level package of `module`; None when it belongs to a script or a single-file module."""
    if module == "__main__":
        module = getattr(sys.modules.get("__main__"), "__package__", None) or ""
    top = module.partition(".")[0]
    return top if top and hasattr(sys.modules.get(top), "__path__") else None


def kebab(name: str) -> str:
    """`PlaceOrder` -> `place-order`, `HTTPServer2` -> `http-server2`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+", "-", name.strip("_"))
    return words.lower()


@functools.lru_cache(maxsize=256)
def distribution_version(package: str | None) -> Version:
    """The version of the installed distribution that holds `package`; 0.0.0 when there is none."""
    if package is None:
        return UNVERSIONED
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and not needed by a script

    try:
        return _semantic(version(package))
    except PackageNotFoundError:
        return next((_semantic(d.version) for d in _neighbours(package) if package in _packages(d)), UNVERSIONED)


def _neighbours(package: str) -> Iterable[Distribution]:
    """Distributions in the folder that holds `package`: none, and at once, for a project that is not installed."""
    from importlib.metadata import distributions

    folders = getattr(sys.modules.get(package), "__path__", ())
    return distributions(path=[str(PurePath(folder).parent) for folder in folders])


def _packages(distribution: Distribution) -> Collection[str]:
    listed = distribution.read_text("top_level.txt")
    return listed.split() if listed else {file.parts[0] for file in distribution.files or ()}


def _base(cls: type) -> ArtifactBase:
    group = (package_of(cls.__module__) or SCRIPT_GROUP).lower().strip("_")
    try:
        return ArtifactBase.parse(f"{group}:{kebab(cls.__name__)}")
    except BadInput as error:
        raise ContractError(
            f"no coordinates can be made from {cls.__module__}.{cls.__qualname__}: {error}; "
            'name them: @aether.slice(artifact="group:artifact:version")'
        ) from error


def _semantic(text: str) -> Version:
    from packaging.version import InvalidVersion
    from packaging.version import Version as PackagingVersion

    try:
        found = PackagingVersion(text)
    except InvalidVersion:
        return UNVERSIONED
    major, minor, patch = (*found.release, 0, 0)[:3]
    words = {"a": "alpha", "b": "beta", "rc": "rc"}
    pre = [f"{words[found.pre[0]]}.{found.pre[1]}"] if found.pre else []
    dev = [f"dev.{found.dev}"] if found.dev is not None else []
    return Version(major, minor, patch, ".".join([*pre, *dev]), (found.local or "").replace("_", "-"))
