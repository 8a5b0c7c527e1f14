"""What a slice says of itself: one place decides what it counts for, whoever asks and wherever the code is."""

import json

import attrs
import pytest

import aether
from aether.deployment.blueprint_wishes import Wish, decide_apply
from aether.deployment.defaults import defaults_of, own_row
from aether.deployment.standing import Standing
from aether.deployment.wishes import decide_deploy, decide_scale
from aether.errors import BadInput
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.blueprint_toml import parse_blueprint
from aether.model.ids import Incarnation, NodeId
from aether.model.rows import DesiredRow, MemberRow, OverrideRow
from aether.model.scale import Scale
from aether.model.version import VersionRange
from aether.slice_api.contract import SliceOptions
from aether.slice_api.description import ContractDescription, DependencyDescription

NAMES = ("plain", "wide", "once", "user")
BASES = {name: ArtifactBase.parse(f"own:{name}") for name in NAMES}
VERSION = VersionRange.parse("1.0.0")
OPTIONS = {
    "plain": SliceOptions(instances=3),
    "wide": SliceOptions(scale=Scale(0, 5, idle_s=60.0)),
    "once": SliceOptions(singleton=True),
    "user": SliceOptions(),
}


def contract(artifact):
    needs = (DependencyDescription(field="once", name="Once", artifact="own:once:1.0.0"),)
    return ContractDescription(
        name=artifact.base.name,
        artifact=str(artifact),
        methods={},
        faults={},
        definitions={},
        dependencies=needs if artifact.base.name == "user" else (),
        options=OPTIONS[artifact.base.name],
    )


def standing(contracts=contract, **fields):
    available = tuple(sorted(Artifact.parse(f"own:{name}:1.0.0") for name in NAMES))
    member = MemberRow(node=NodeId("n1"), incarnation=Incarnation("i"), available=available)
    return Standing(members=(member,), contracts=contracts, now=1_000.0, **fields)


def applied(name, extra="", state=None):
    """The row of one slice that a blueprint names."""
    text = f'id = "own"\n[[slices]]\nartifact = "own:{name}:1.0.0"\n{extra}'
    return decide_apply(parse_blueprint(text), state or standing(), Wish()).decision.desired[BASES[name]]


def counts(row):
    return row.instances, row.wished, row.instances_min, row.instances_max, row.idle_s, row.singleton


def test_a_blueprint_that_says_nothing_leaves_it_to_the_slice():
    assert counts(applied("plain")) == (3, 3, None, None, None, False)
    assert counts(applied("wide")) == (1, 1, 0, 5, 60.0, False)
    assert counts(applied("once")) == (1, 1, None, None, None, True)


def test_a_blueprint_that_says_how_many_outweighs_count_and_bounds_of_the_slice():
    assert counts(applied("plain", "instances = 2\n")) == (2, 2, None, None, None, False)
    assert counts(applied("wide", "instances = 9\n")) == (9, 9, None, None, None, False)
    assert counts(applied("wide", "instances = { min = 2, max = 8 }\n")) == (2, 2, 2, 8, None, False)
    assert counts(applied("plain", "instances = { min = 0, max = 2 }\n"))[:4] == (2, 2, 0, 2)


def test_an_override_outweighs_both():
    override = OverrideRow(artifact=BASES["wide"], instances=4, owner="scaler")

    row = applied("wide", state=standing(overrides={BASES["wide"]: override}))

    assert (row.instances, row.wished) == (4, 1)


def test_a_single_deployment_and_an_opening_process_say_the_same_as_a_blueprint():
    for name in ("plain", "wide", "once"):
        row = decide_deploy(BASES[name], VERSION, None, standing()).desired[BASES[name]]
        plain = DesiredRow(artifact=row.artifact, instances=1, blueprint="app")
        assert counts(row) == counts(applied(name)) == counts(own_row(plain, OPTIONS[name]))
    row = decide_deploy(BASES["wide"], VERSION, 7, standing()).desired[BASES["wide"]]
    assert counts(row) == (7, 7, None, None, None, False)


def test_a_singleton_that_another_slice_needs_runs_once_too():
    applying = decide_apply(
        parse_blueprint('id = "own"\n[[slices]]\nartifact = "own:user:1.0.0"\n'), standing(), Wish()
    )

    row = applying.decision.desired[BASES["once"]]
    assert (row.is_dependency, row.singleton, row.instances) == (True, True, 1)


def test_nobody_gets_more_than_one_of_a_singleton():
    row = applied("once")
    for wrong in (
        lambda: applied("once", "instances = 2\n"),
        lambda: applied("once", "instances = { min = 0, max = 2 }\n"),
        lambda: decide_deploy(BASES["once"], VERSION, 2, standing()),
        lambda: decide_scale(
            BASES["once"],
            None,
            OverrideRow(artifact=BASES["once"], instances=2, owner="operator"),
            standing(desired={BASES["once"]: row}),
        ),
    ):
        with pytest.raises(BadInput, match="singleton"):
            wrong()


def test_what_is_not_known_here_stays_as_it_is_in_force():
    """A release that wrote no options, a contract too long for its row: applying again must undo nothing."""
    for name in ("plain", "wide", "once"):
        known = applied(name)
        unknown = standing(contracts=lambda artifact: None, desired={BASES[name]: known})
        assert applied(name, state=unknown) == known
    assert counts(applied("wide", state=standing(contracts=lambda artifact: None))) == (1, 1, None, None, None, False)
    without = attrs.evolve(contract(Artifact.parse("own:wide:1.0.0")), options=None)
    assert defaults_of(without) is defaults_of(None) is None


def test_what_a_class_says_travels_with_its_contract():
    @aether.slice(artifact="own:wide:1.0.0", instances=aether.Scale(0, 5, idle_s=60.0), queue=7)
    class Wide:
        async def say(self) -> str:
            return ""

    from aether.slice_api.contract import contract_of
    from aether.slice_api.description import describe, read_description

    told = read_description(json.loads(json.dumps(describe(contract_of(Wide)).to_plain())))

    assert defaults_of(told) == attrs.evolve(contract_of(Wide).options, artifact=None)
