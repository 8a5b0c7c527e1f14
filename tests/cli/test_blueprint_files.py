"""Blueprints as they are given on a command line: from a file, from a pipe, and what is no blueprint."""

import io
import sys
import tomllib

import pytest

from aether.cli.main import run
from aether.model.limits import BLUEPRINT_BYTES_MAX

TEXT = 'id = "shop:1.0.0"\n[[slices]]\nartifact = "shop:cafe:1.0.0"\n# crème brûlée\n'


@pytest.fixture(params=["file", "pipe"])
def given(request, tmp_path, monkeypatch):
    """Bytes → the argument that names them."""

    def give(raw):
        if request.param == "file":
            (tmp_path / "shop.toml").write_bytes(raw)
            return str(tmp_path / "shop.toml")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="ascii"))
        return "-"

    return give


def test_a_byte_order_mark_is_no_part_of_the_text(given):
    """Some editors write one, and no reader of TOML takes it."""
    assert run(["blueprint", "validate", given(b"\xef\xbb\xbf" + TEXT.encode())]) == 0


def test_a_text_is_utf_8_whatever_the_locale_says(given, capsys):
    assert run(["blueprint", "validate", given(TEXT.encode())]) == 0
    assert "blueprint shop" in capsys.readouterr().out


def test_the_largest_text_is_read_whole(given, capsys):
    raw = TEXT.encode()
    assert run(["blueprint", "validate", given(raw + b"#" * (BLUEPRINT_BYTES_MAX - len(raw)))]) == 0


def test_a_larger_text_is_refused_and_never_cut(given, capsys):
    """What stands behind the limit may be half of the slices: to apply the rest would stop them."""
    raw = TEXT.encode()
    assert run(["blueprint", "validate", given(raw + b"\n" * (BLUEPRINT_BYTES_MAX + 1 - len(raw)))]) == 2
    assert f"larger than {BLUEPRINT_BYTES_MAX} bytes" in capsys.readouterr().err


def test_bytes_that_are_no_text_are_named_with_their_place(given, capsys):
    assert run(["blueprint", "validate", given(b"id = \xff")]) == 2
    assert "no text in UTF-8: byte 5 is 0xff" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_a_file_that_is_no_toml_is_named_and_nobody_is_asked(port, tmp_path, capsys, command):
    """Whoever has five files before them, or typed shop.py, needs to know which one it was."""
    (tmp_path / "shop.py").write_text("import attrs\n")

    assert run(["blueprint", command, str(tmp_path / "shop.py"), "-c", port.address]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'shop.py'}: the blueprint is not TOML" in said
    assert "line 1, column 8" in said
    assert port.asked == []


RANGED = """
import aether

@aether.slice(artifact="ranged:busy:1.0.0", instances=aether.Scale(2, 20))
class Busy:
    async def ask(self) -> int: ...

@aether.slice(artifact="ranged:rare:1.0.0", instances=aether.Scale(0, 5, idle_s=600))
class Rare:
    async def ask(self) -> int: ...

@aether.slice(artifact="ranged:fixed:1.0.0", instances=3)
class Fixed:
    async def ask(self) -> int: ...
"""


def test_a_first_blueprint_keeps_the_ranges_of_the_code(tmp_path, capsys):
    """A blueprint that names a slice says its bounds: a bare count would take them away."""
    (tmp_path / "ranged_slices.py").write_text(RANGED)

    assert run(["blueprint", "init", "--app", "ranged_slices", "--app-dir", str(tmp_path)]) == 0

    text = capsys.readouterr().out
    (tmp_path / "blueprint.toml").write_text(text)
    assert run(["blueprint", "validate", str(tmp_path / "blueprint.toml")]) == 0
    assert [each["instances"] for each in tomllib.loads(text)["slices"]] == [
        {"min": 2, "max": 20},
        {"min": 0, "max": 5, "idle": 600},
        3,
    ]


def test_wide_settings_are_the_settings(capsys):
    """The choice of an output is the same for every command."""
    assert run(["config", "show", "-o", "wide"]) == 0
    assert "node.id" in capsys.readouterr().out
