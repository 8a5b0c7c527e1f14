"""Default coordinates: the same class gets the same ones as a script and through --app."""

import sys
import types

import pytest

import aether
from aether.model.version import Version
from aether.slice_api.contract import contract_of
from aether.slice_api.coordinates import distribution_version, kebab, package_of


@pytest.fixture
def modules(monkeypatch):
    """Modules as Python would have them: a package `shop` with `shop.orders`, a single file `hello`."""

    def add(name, **attributes):
        made = types.ModuleType(name)
        made.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, made)

    add("shop", __path__=[])
    add("shop.orders")
    add("hello")
    return add


def coordinates(module, name="PlaceOrder", **options):
    cls = aether.slice(**options)(type(name, (), {"__module__": module}))
    return str(contract_of(cls).artifact)


def test_the_group_is_the_top_level_package(modules):
    assert coordinates("shop.orders") == "shop:place-order:0.0.0"


def test_a_script_and_a_single_file_module_meet_in_the_group_app(modules):
    """`python hello.py` and `aether node --app hello` must speak of one artifact."""
    modules("__main__")  # that of the tests is pytest's own package after `python -m pytest`
    assert coordinates("hello") == coordinates("__main__") == "app:place-order:0.0.0"


def test_a_package_run_as_a_module_is_its_package(modules):
    modules("__main__", __package__="shop")
    assert coordinates("__main__") == "shop:place-order:0.0.0"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PlaceOrder", "place-order"),
        ("HTTPServer", "http-server"),
        ("Order2", "order2"),
        ("_Private", "private"),
        ("My_Slice", "my-slice"),
        ("A", "a"),
        ("ABTest", "ab-test"),
    ],
)
def test_artifact_names_are_kebab_case(name, expected):
    assert kebab(name) == expected


def test_the_version_is_that_of_the_installed_distribution():
    assert distribution_version("attrs").major >= 24
    import attr  # noqa: F401 - only imported packages are looked for

    assert distribution_version("attr").major >= 24, "the package attr is shipped by the distribution attrs"
    assert distribution_version("no_such_package") == Version(0, 0, 0)


def test_given_coordinates_win_and_the_version_may_be_left_out(modules):
    assert coordinates("shop", artifact="a.b:c:1.2.3") == "a.b:c:1.2.3"
    assert coordinates("shop", artifact="a.b:c") == "a.b:c:0.0.0"


@pytest.mark.parametrize("artifact", ["x", "a:b:c", "A:b:1.0.0", "a:b:1.0.0:d", ""])
def test_malformed_coordinates_are_refused(modules, artifact):
    with pytest.raises(aether.ContractError, match="artifact="):
        coordinates("shop", artifact=artifact)


def test_a_name_that_gives_no_artifact_asks_for_one(modules):
    with pytest.raises(aether.ContractError, match=r'@aether\.slice\(artifact="group:artifact:version"\)'):
        coordinates("shop", name="Größe")


def test_the_package_of_a_module():
    assert package_of("aether.slice_api.codec") == "aether"
    assert package_of("__main__") in (None, package_of("pytest"), "pytest")
