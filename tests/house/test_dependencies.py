"""What the package imports is what it declares: no more to install than is used, and nothing by accident."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORT_NAMES = {"typing-extensions": "typing_extensions", "prometheus-client": "prometheus_client"}
EXTRAS_AND_TESTS = {
    "prompt_toolkit",
    "cryptography",
    "httptools",
    "msgspec",
    "opentelemetry",
    "rich",
    "pytest",
}  # imported where they are used, when they are there


def imported():
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]


def test_every_import_is_declared_and_every_declaration_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=\[;! ]", requirement)[0] for requirement in project["dependencies"]]
    declared = {IMPORT_NAMES.get(name, name) for name in names}
    used = set(imported()) - sys.stdlib_module_names - {"aether"}

    assert used - EXTRAS_AND_TESTS == declared
