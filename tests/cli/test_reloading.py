"""Which files `aether dev --reload` looks at."""

import os

import pytest
import trio

from aether.cli import reloading
from aether.cli.exits import CommandFailed
from aether.cli.reloading import blueprint_of, differing, stamps, until_changed
from aether.work import InlineWork


def write(folder, name, text="x = 1\n"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_sources_are_watched_and_nothing_else(tmp_path):
    for name in ("shop.py", "parts/prices.py", "aether.toml"):
        write(tmp_path, name)
    for name in ("notes.txt", ".hidden.py", ".git/hook.py", "__pycache__/shop.py", "env/lib/six.py", "state/node.py"):
        write(tmp_path, name)
    write(tmp_path, "env/pyvenv.cfg")
    assert sorted(stamps(tmp_path, tmp_path / "state")) == ["aether.toml", "parts/prices.py", "shop.py"]


def test_what_came_went_or_changed_differs(tmp_path):
    write(tmp_path, "same.py")
    gone, changed = write(tmp_path, "gone.py"), write(tmp_path, "changed.py")
    before = stamps(tmp_path, tmp_path / "state")
    gone.unlink()
    write(tmp_path, "new.py")
    os.utime(changed, ns=(0, before["changed.py"].changed_ns + 1))
    assert differing(before, stamps(tmp_path, tmp_path / "state")) == ["changed.py", "gone.py", "new.py"]


async def test_files_that_are_still_written_are_waited_for(tmp_path, autojump_clock):
    before = stamps(tmp_path, tmp_path / "state")
    sizes = []
    async with trio.open_nursery() as nursery:

        async def edit():
            for size in range(1, 4):
                write(tmp_path, "shop.py", "#" * size)
                await trio.sleep(reloading.LOOK_S)

        nursery.start_soon(edit)
        sizes = [
            stamp.size for stamp in (await until_changed(InlineWork(), tmp_path, tmp_path / "state", before)).values()
        ]
    assert sizes == [3]


def test_a_folder_that_is_too_large_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(reloading, "FILES_MAX", 2)
    for number in range(3):
        write(tmp_path, f"m{number}.py")
    with pytest.raises(CommandFailed, match="more than 2 source files"):
        stamps(tmp_path, tmp_path / "state")


async def test_code_that_makes_no_sense_is_told(tmp_path):
    write(
        tmp_path,
        "shop.py",
        "import aether\n\n\n@aether.slice\nclass Shop:\n    async def f(self) -> int:\n        return 1\n",
    )
    text = await blueprint_of(["shop"], tmp_path)
    assert 'artifact = "app:shop:' in text
    write(tmp_path, "shop.py", "def broken(:\n")
    with pytest.raises(CommandFailed, match="SyntaxError"):
        await blueprint_of(["shop"], tmp_path)
