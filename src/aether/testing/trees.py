"""Trees of slices for tests of updates: really different code in really different places.

Knows: how a tree is laid out, and put into a directory that nodes look at.
Never: nodes. `shop_tree` is one small slice in several versions, each with code of its own.
Holds: a tree appears whole: it is built beside the others and moved.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aether.errors import BadInput
from aether.hosting.trees import METADATA
from aether.model.artifact import Artifact

INCOMING: Final = ".incoming"
_COUNT: Final = itertools.count(1)
_SLICE: Final = re.compile(r"^@aether\.slice\b.*?^class (\w+)", re.MULTILINE | re.DOTALL)


def write_tree(
    root: Path, artifact: str, code: str | Mapping[str, str], *, name: str = "", extra: str = "", slice_: str = ""
) -> Path:
    """Put a tree with `artifact` into `root`, whole and at once; return its folder. One that is there is replaced.

    code    text of one module, or the text of each file by its relative path
    slice_  `module:Class`; "" = the first decorated class of the first file
    name    where in `root`, "" = `{name}/{version}` of the artifact; extra  more lines of its `aether.toml`
    """
    wanted = Artifact.parse(artifact)
    files = dict(code) if isinstance(code, Mapping) else {f"{wanted.base.name.replace('-', '_')}.py": code}
    first = next(iter(files))
    found = _SLICE.search(files[first])
    if not slice_:
        if found is None:
            raise BadInput(f"{first} has no class below @aether.slice", ("say slice_=...",))
        slice_ = f"{first.removesuffix('.py').replace('/', '.')}:{found[1]}"
    beside = root / INCOMING / f"{os.getpid()}-{next(_COUNT)}"
    for path, text in {**files, METADATA: f'artifact = "{artifact}"\nslice = "{slice_}"\n{extra}'}.items():
        (beside / path).parent.mkdir(parents=True, exist_ok=True)
        (beside / path).write_text(text)
    place = root / (name or f"{wanted.base.name}/{wanted.version}")
    place.parent.mkdir(parents=True, exist_ok=True)
    remove_tree(place)
    beside.rename(place)
    return place


def remove_tree(place: Path) -> None:
    """Take a tree away, at once."""
    if place.exists():
        gone = place.parent / f".gone-{os.getpid()}-{next(_COUNT)}"
        place.rename(gone)
        shutil.rmtree(gone)


SHOP: Final = "e2e:shop"
SHOP_VERSIONS: Final = ("1.0.0", "1.1.0", "2.0.0", "2.1.0", "3.0.0")

_HEAD: Final = '''"""Version {version}."""
import os

import trio

import aether


@aether.slice(artifact="e2e:shop:{version}")
class Shop:
    """A shop, version {version}."""

    @aether.get("/shop/version")
    async def version(self) -> str:
        return "{version}"

    @aether.get("/shop/pid")
    async def pid(self) -> int:
        return os.getpid()

    @aether.get("/shop/slow")
    async def slow(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return "{version}"
'''
_METHODS: Final[Mapping[str, str]] = {
    "1.0.0": """
    @aether.get("/shop/price/{sku}")
    async def price(self, sku: str) -> int:
        return 100
""",
    "1.1.0": """
    @aether.get("/shop/price/{sku}")
    async def price(self, sku: str, pieces: int = 1) -> int:
        return 90 * pieces

    @aether.get("/shop/stock/{sku}")
    async def stock(self, sku: str) -> int:
        return len(sku)
""",
    "2.0.0": '''
    @aether.get("/shop/price/{sku}")
    async def price(self, sku: str) -> str:
        """Another type: it breaks callers of version 1."""
        return "EUR 1.10"

    @aether.get("/shop/offers")
    async def offers(self) -> list[str]:
        return ["two for one"]
''',
    "2.1.0": '''
    @aether.get("/shop/price/{sku}")
    async def price(self, sku: str) -> str:
        """It works in no call."""
        raise RuntimeError("the price list is gone")
''',
    "3.0.0": '''
    @aether.get("/shop/price/{sku}")
    async def price(self, sku: str) -> str:
        return "never"

    @aether.lifespan
    async def lifespan(self):
        """It never starts."""
        raise RuntimeError("no database")
        yield
''',
}


def shop_code(version: str) -> str:
    """The module of `e2e:shop` in one of SHOP_VERSIONS.

    1.0.0  /shop/version, /shop/price/{sku} -> 100; each version has its own /shop/version, /shop/pid and /shop/slow
    1.1.0  90 a piece, and a new route /shop/stock/{sku}: compatible with 1.0.0
    2.0.0  the price is text, and there is a new route /shop/offers: it breaks callers
    2.1.0  every price fails with 500; 3.0.0  no instance ever starts
    """
    if version not in _METHODS:
        raise BadInput(f"no version {version} of the shop", (f"there are {', '.join(SHOP_VERSIONS)}",))
    return _HEAD.format(version=version) + _METHODS[version]


def shop_tree(root: Path, version: str) -> Path:
    """Put `e2e:shop:{version}` into `root`: code as `shop_code` says. All versions have the same module name."""
    return write_tree(root, f"{SHOP}:{version}", shop_code(version))
