"""A contract as Python, written by `aether contract export`: both type checkers take it in strict mode."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from aether.slice_api.contract import contract_of
from aether.slice_api.description import describe
from aether.slice_api.export import export

SHOP = Path(__file__).parents[1] / "slice_api" / "exported_shop.py"
pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """With the exported file, and pyright told to be strict."""
    spec = importlib.util.spec_from_file_location("exported_shop", SHOP)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "exported_shop", module)
    spec.loader.exec_module(module)
    (tmp_path / "shop_contract.py").write_text(export(describe(contract_of(module.Shop))))
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ("mypy", "--strict", "--cache-dir", "cache", "shop_contract.py"),
        ("pyright", "-p", ".", "--pythonpath", sys.executable),
    ],
)
def test_a_type_checker_takes_it_in_strict_mode(folder, command):
    pytest.importorskip(command[0])
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=folder, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
