"""What is in a wheel and an sdist: `python scripts/dist.py DIR` looks at those in a folder, and says what is wrong.

A wheel that lacks a page, an sdist that lacks the tests, a file that nobody meant to publish: seen before it goes out.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
IN_SDIST = ("src", "tests", "docs", "examples", "benchmarks", "scripts", "docker")
BESIDE = ("pyproject.toml", "noxfile.py", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
STRANGE = re.compile(
    r"__pycache__|\.pyc$|\.(key|pem|log|sock)$|(^|/)\.(git|nox|venv|hypothesis|mypy_cache)(/|$)|admin-token"
)
WHEEL_BYTES_MAX = 4 * 2**20
SDIST_BYTES_MAX = 20 * 2**20


def kept(folder: str) -> set[str]:
    """The files that git keeps below a folder of the project."""
    listed = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


def strange(names: Iterable[str]) -> Iterator[str]:
    yield from (f"{name}: nobody meant to publish that" for name in sorted(names) if STRANGE.search(name))


def wheel_problems(path: Path) -> Iterator[str]:
    """A wheel holds each file of src/, the demo, the licence, and nothing else but its metadata."""
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    own = {name.removeprefix("src/") for name in kept("src")}
    own |= {name.replace("examples/order_demo", "aether/forge/order_demo", 1) for name in kept("examples/order_demo")}
    foreign = {name for name in names - own if ".dist-info/" not in name}
    yield from strange(names)
    yield from (f"{name} is missing in the wheel" for name in sorted(own - names))
    yield from (f"{name} is in the wheel, and not in the repository" for name in sorted(foreign))
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        yield "the licence is missing in the wheel"
    if path.stat().st_size > WHEEL_BYTES_MAX:
        yield f"the wheel has {path.stat().st_size} bytes, {WHEEL_BYTES_MAX} at most are meant"


def sdist_problems(path: Path) -> Iterator[str]:
    """An sdist holds what is needed to build, test and read the project, below one folder."""
    with tarfile.open(path) as archive:
        whole = [member.name for member in archive.getmembers() if member.isfile()]
    names = {name.partition("/")[2] for name in whole}
    if len({name.partition("/")[0] for name in whole}) != 1:
        yield "the sdist has more than one folder at its top"
    wanted = set(BESIDE) | {name for folder in IN_SDIST for name in kept(folder)}
    yield from strange(names)
    yield from (f"{name} is missing in the sdist" for name in sorted(wanted - names))
    if path.stat().st_size > SDIST_BYTES_MAX:
        yield f"the sdist has {path.stat().st_size} bytes, {SDIST_BYTES_MAX} at most are meant"


def problems(folder: Path) -> Iterator[str]:
    wheels, sdists = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    if (len(wheels), len(sdists)) != (1, 1):
        yield f"{folder} holds {len(wheels)} wheels and {len(sdists)} sdists: one of each is looked at"
        return
    yield from wheel_problems(wheels[0])
    yield from sdist_problems(sdists[0])


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1])))
    print("\n".join(found) or "wheel and sdist hold what they should")
    sys.exit(1 if found else 0)
