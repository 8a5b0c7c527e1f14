from hypothesis import given
from hypothesis import strategies as st

from aether.kv.codec import row_codec
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.limits import OPENAPI_BYTES_MAX
from aether.model.route import Route
from aether.model.rows import DesiredRow, RouteRow, TrafficRow
from aether.model.serving import published, serving, wanted_versions, with_version
from aether.model.version import Version

BASE = ArtifactBase.parse("shop:pricing")


def version(name, *templates, **more):
    routes = tuple(Route("GET", template, "quote") for template in templates)
    return RouteRow(artifact=BASE, version=name, routes=routes, methods=("quote",), **more)


def desired(in_force="1.0.0", beside=None):
    return DesiredRow(
        artifact=Artifact(BASE, Version.parse(in_force)),
        instances=1,
        blueprint="app",
        beside=None if beside is None else Version.parse(beside),
        beside_instances=int(beside is not None),
    )


def traffic(weights, **more):
    return TrafficRow(artifact=BASE, weights=weights, **more)


OLD, NEW = version("1.0.0", "/a", "/old"), version("2.0.0", "/a", "/new")
BOTH = with_version(with_version(None, OLD, ("1.0.0",)), NEW, ("1.0.0", "2.0.0"))


def versions(rows):
    return [row.version for row in rows]


def test_every_version_that_became_active_says_its_own():
    assert BOTH.version == "1.0.0"
    assert BOTH.others == (NEW,)
    assert with_version(BOTH, OLD, ("1.0.0", "2.0.0")) == BOTH
    assert row_codec(RouteRow).decode(row_codec(RouteRow).encode(BOTH)) == BOTH


def test_the_version_in_force_speaks_first_and_what_nobody_wants_goes():
    updated = with_version(BOTH, NEW, ("2.0.0",))
    assert (updated.version, versions(updated.others)) == ("2.0.0", ["1.0.0"])
    again = with_version(updated, version("3.0.0"), ("2.0.0", "3.0.0"))
    assert (again.version, versions(again.others)) == ("2.0.0", ["3.0.0"])


def test_a_row_of_a_release_that_named_no_version_is_replaced():
    assert with_version(RouteRow(artifact=BASE), NEW, ("1.0.0",)) == NEW


def test_documents_that_are_too_long_together_are_left_out():
    long = "x" * (OPENAPI_BYTES_MAX // 2 + 1)
    row = with_version(version("1.0.0", openapi=long), version("2.0.0", openapi=long), ("1.0.0", "2.0.0"))
    assert row.openapi == long
    assert row.others[0].openapi == ""


def test_a_version_is_shown_exactly_while_it_gets_calls():
    both = desired(beside="2.0.0")
    assert versions(serving(BOTH, both, traffic({"1.0.0": 1, "2.0.0": 0}))) == ["1.0.0"]
    assert versions(serving(BOTH, both, traffic({"1.0.0": 1, "2.0.0": 99}))) == ["1.0.0", "2.0.0"]
    assert versions(serving(BOTH, both, traffic({"1.0.0": 0, "2.0.0": 1}))) == ["2.0.0"]
    assert versions(serving(BOTH, desired("2.0.0"), None)) == ["2.0.0"]
    assert versions(serving(BOTH, desired("1.0.0"), None)) == ["1.0.0"]
    assert versions(serving(BOTH, both, None)) == ["1.0.0", "2.0.0"]


def test_a_version_that_rules_name_is_shown():
    row = traffic({"1.0.0": 1}, rules={"key=ann": "2.0.0"})
    assert versions(serving(BOTH, desired(beside="2.0.0"), row)) == ["1.0.0", "2.0.0"]


def test_with_nothing_known_of_the_versions_that_get_calls_the_row_speaks():
    assert versions(serving(BOTH, None, None)) == ["1.0.0"]
    assert versions(serving(OLD, desired("2.0.0"), traffic({"2.0.0": 1}))) == ["1.0.0"]


def test_a_route_of_several_is_shown_once():
    rows = list(published(serving(BOTH, desired(beside="2.0.0"), None)))
    assert [(r.version, [route.template for route in r.routes]) for r in rows] == [
        ("1.0.0", ["/a", "/old"]),
        ("2.0.0", ["/new"]),
    ]
    same = with_version(OLD, version("2.0.0", "/a"), ("1.0.0", "2.0.0"))
    assert versions(published(serving(same, desired(beside="2.0.0"), None))) == ["1.0.0"]


names = st.sampled_from(["1.0.0", "2.0.0", "3.0.0"])


@given(
    st.lists(st.tuples(names, st.lists(names, min_size=1, max_size=2, unique=True)), max_size=8),
    st.lists(names, min_size=1, max_size=2, unique=True),
    st.none() | st.dictionaries(names, st.integers(0, 3)),
)
def test_whatever_came_before_each_version_stands_once_and_somebody_speaks(history, wanted, weights):
    row = None
    for name, then_wanted in history:
        row = with_version(row, version(name), then_wanted)
        assert name in [row.version, *versions(row.others)] or name not in then_wanted
        assert len({row.version, *versions(row.others)}) == 1 + len(row.others)
        assert len(row.others) <= 3
    if row is not None:
        wish = desired(wanted[0], wanted[1] if len(wanted) > 1 else None)
        speaking = serving(row, wish, None if weights is None else traffic(weights))
        assert speaking
        assert all(not r.others for r in speaking)
        assert wanted_versions(wish) == tuple(wanted)
