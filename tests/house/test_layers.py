"""A module knows only what its room may know: the import table of docs/design/architecture.md, as data."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from aether.hosting.worker_process import _BOOT

SRC = Path(__file__).parents[2] / "src" / "aether"

PURE = {"errors", "model"}
MAY_KNOW: dict[str, set[str]] = {
    "errors": set(),
    "model": {"errors"},
    "work": set(),
    "failpoints": {"errors"},
    "slice_api": PURE,
    "wire": PURE,
    "transport": PURE | {"wire", "work"},
    "storage": PURE | {"consensus", "failpoints"},
    "consensus": PURE | {"work"},
    "kv": PURE | {"consensus"},
    "invocation": PURE | {"slice_api", "kv", "metrics"},
    "hosting": PURE | {"slice_api", "invocation", "kv", "wire", "work"},
    "deployment": PURE | {"kv", "hosting", "slice_api"},
    "web": PURE | {"slice_api"},
    "metrics": PURE | {"kv", "work"},
    "control": PURE | {"kv", "metrics", "work"},
    "security": PURE | {"kv", "work"},
    "management": PURE | {"kv", "web", "metrics", "control", "security"},
    "node": PURE
    | {
        *("consensus", "deployment", "failpoints", "hosting", "invocation", "kv", "management", "slice_api"),
        *("storage", "transport", "web", "wire", "work", "metrics", "control", "security"),
    },
    "cluster": PURE
    | {
        *("deployment", "failpoints", "hosting", "invocation", "kv", "node", "slice_api", "storage", "transport"),
        *("web", "work"),
    },
    "asyncio_host": PURE | {"cluster", "node", "slice_api"},
    "forge": PURE,
    "generate": PURE,
    "cli": PURE
    | {
        *("cluster", "control", "forge", "generate", "metrics", "node", "security", "slice_api", "storage", "testing"),
        *("transport", "work"),
    },
}
KNOWS_ALL = {"__init__", "__main__", "testing"}
SHELL_ROOMS = {
    "asyncio_host",
    "cluster",
    "transport",
    "storage",
    "hosting",
    "node",
    "cli",
    "testing",
    "forge",
    "work",
    "failpoints",
}
IMPURE = {"asyncio", "os", "random", "select", "signal", "socket", "ssl", "subprocess", "threading", "time", "trio"}


def modules() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imports(path: Path, *, type_checking: bool = True) -> Iterator[str]:
    """Every imported dotted name; imports under TYPE_CHECKING only when asked for."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    if not type_checking:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are banned"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_shell(path: Path) -> bool:
    return (
        room_of(path) in SHELL_ROOMS | {"__main__"}
        or path.stem == "service"
        or path.stem.endswith(("_service", "_manager"))
    )


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_a_module_imports_only_the_rooms_that_its_room_may_know(path):
    """A wrong direction of import is how a house becomes a ball of mud; it is caught at its first line."""
    room = room_of(path)
    if room in KNOWS_ALL:
        return
    known = {n.split(".")[1] for n in imports(path) if n.split(".")[0] == "aether" and "." in n}

    assert known <= MAY_KNOW[room] | {room}, f"{room} may not know {known - MAY_KNOW[room] - {room}}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_io_clocks_and_randomness_live_in_shells_alone(path):
    """Pure modules can be simulated, replayed and tested without a clock."""
    if is_shell(path):
        return
    impure = {n.split(".")[0] for n in imports(path, type_checking=False)} & IMPURE

    assert not impure, "I/O lives in *service.py, *_manager.py and the shell rooms"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_the_loop_is_left_through_the_work_seam_alone(path):
    """Threads elsewhere would escape the virtual clock of tests and the limiter of production."""
    if path.name == "work.py":
        return
    text = path.read_text().replace(_BOOT, "")  # what a worker does before it has a loop

    assert "to_thread" not in text
    assert "threading.Thread" not in text


def test_the_import_table_names_every_room():
    rooms = {room_of(p) for p in modules()} - KNOWS_ALL

    assert rooms <= set(MAY_KNOW), f"add {rooms - set(MAY_KNOW)} to the table here and in docs/design/architecture.md"


def test_the_table_has_no_cycle():
    """Removing rooms that know nobody left, again and again, must empty the house."""
    left = {room: set(known) for room, known in MAY_KNOW.items()}
    while left:
        free = {room for room, known in left.items() if not known & left.keys() - {room}}
        assert free, f"cycle among {sorted(left)}"
        left = {room: known for room, known in left.items() if room not in free}
