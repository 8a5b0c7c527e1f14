"""A contract as Python: both type checkers take it, and what it says is what it was made from."""

import importlib.util
import json
import sys
from pathlib import Path

import attrs
import pytest

import aether
from aether.slice_api.contract import contract_of
from aether.slice_api.description import describe, read_description
from aether.slice_api.export import export

HERE = Path(__file__).parent


def loaded(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def original():
    return describe(contract_of(loaded(HERE / "exported_shop.py", "exported_shop").Shop))


@pytest.fixture(scope="module")
def file(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "shop_contract.py"
    path.write_text(export(original))
    return path


def test_the_exported_protocol_has_the_schemas_of_the_slice(file, original):
    """Otherwise its callers would spell something else than the slice reads."""
    again = describe(contract_of(loaded(file, "shop_contract").Shop))

    hashes = {name: again.hash_of(name) for name in again.methods}
    assert hashes.pop("enter") != original.hash_of(
        "enter"
    )  # of a default that differs each time, only its author knows
    assert hashes == {name: original.hash_of(name) for name in original.methods if name != "enter"}
    assert again.artifact == original.artifact
    assert {name: (f.status, f.title, f.detail) for name, f in again.faults.items()} == {
        name: (f.status, f.title, f.detail) for name, f in original.faults.items()
    }
    assert {n: m.idempotent for n, m in again.methods.items()} == {n: m.idempotent for n, m in original.methods.items()}


def test_the_same_contract_gives_the_same_text(original):
    """`--check` compares it in CI."""
    assert export(original) == export(read_description(json.loads(json.dumps(original.to_plain()))))


def test_defaults_are_kept_where_they_can_be_written(file):
    module = sys.modules.get("shop_contract") or loaded(file, "shop_contract")
    original, line = sys.modules["exported_shop"].Line(sku="a"), module.Line(sku="a")

    for name in ("qty", "tags", "prices", "price", "since", "note", "path"):
        assert getattr(line, name) == getattr(original, name)
    with pytest.raises(TypeError, match="ticket_id"):
        module.Ticket()


@pytest.mark.parametrize("name", ["import os; x", "class", "a b", ""])
def test_a_description_with_a_name_that_is_code_is_refused(original, name):
    """It comes from the cluster, and the file is run by whoever imports it."""
    with pytest.raises(aether.BadInput, match="no name in Python"):
        export(attrs.evolve(original, name=name))
    with pytest.raises(aether.BadInput, match="no name in Python"):
        export(attrs.evolve(original, definitions={name: {"type": "object", "properties": {}}}))
    with pytest.raises(aether.BadInput, match="no name in Python"):
        export(attrs.evolve(original, definitions={"A": {"type": "object", "properties": {name: {}}}}))


def test_texts_cannot_leave_their_quotes(original):
    doc = '"""\nimport os\n"""\\'
    text = export(attrs.evolve(original, doc=doc, methods={}, faults={}, definitions={}))

    scope: dict[str, object] = {}
    exec(compile(text, "exported", "exec"), scope)  # the text is ours; whether a docstring runs in it is the question
    assert "os" not in scope


def test_a_contract_decorates_a_protocol_alone():
    with pytest.raises(aether.ContractError, match="decorates a Protocol"):
        aether.contract("a.b:c:1.0.0")(int)
    with pytest.raises(aether.BadInput, match="is no"):
        aether.contract("nonsense")
