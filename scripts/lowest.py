"""The oldest versions that pyproject.toml promises to work with, as constraints for pip.

`python scripts/lowest.py cli tls`: arguments are extras. Each direct requirement is printed as `name==version`, its
lower bound taken at its word.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(requirements: Iterable[str]) -> Iterator[str]:
    """`name==version` of each. Raises ValueError: one has no lower bound, so nobody knows what it promises."""
    for text in requirements:
        requirement = Requirement(text)
        bounds = [each.version for each in requirement.specifier if each.operator in (">=", "==", "~=")]
        if len(bounds) != 1:
            raise ValueError(f"{text}: say one lower bound, such as {requirement.name}>=1.0")
        yield f"{requirement.name}=={bounds[0]}"


def direct(project: Mapping[str, Any], extras: Iterable[str]) -> list[str]:
    """The requirements of the project, and those of the extras. Raises KeyError: there is no such extra."""
    found = list(project["dependencies"])
    for extra in extras:
        found += project["optional-dependencies"][extra]
    return found


if __name__ == "__main__":
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    print("\n".join(lowest(direct(project, sys.argv[1:]))))
