"""Mutations: one atomic batch each, owned, idempotent, explained when refused."""

import types

import attrs
import pytest

from aether.deployment.operator import Operator
from aether.errors import BadInput, Conflict, NoQuorum, NotFound
from aether.kv import keys
from aether.kv.commands import Batch, Delete, Put
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, NodeId
from aether.model.limits import BLUEPRINT_SLICES_MAX, BLUEPRINTS_KEPT, INSTANCES_MAX
from aether.model.rollout import RolloutRow, RolloutState
from aether.model.rows import BlueprintRow, MemberRow, OverrideRow
from aether.slice_api.contract import SliceOptions
from aether.slice_api.description import ContractDescription

PRICING, PRICING_2 = Artifact.parse("shop:pricing:1.0.0"), Artifact.parse("shop:pricing:2.0.0")
STOCK = Artifact.parse("shop:stock:1.0.0")

TWO = """
id = "shop:1.0.0"
[[slices]]
artifact = "shop:pricing:^1"
instances = 2
max_per_node = 1
config = { "shop.currency" = "EUR" }
[[slices]]
artifact = "shop:stock:1.0.0"
[bind]
Pricing = "shop:pricing"
"""
ONE = 'id = "shop:1.0.1"\n[[slices]]\nartifact = "shop:pricing:^1"\n'


@pytest.fixture
def operator(log, kv):
    row = MemberRow(node=NodeId("n1"), incarnation=Incarnation("i"), available=(PRICING, PRICING_2, STOCK))
    log.apply(Batch((), (Put(keys.member(row.node), row),)))
    return Operator(kv, lambda: 1_000.0)


def desired(kv):
    return {str(row.artifact): row for row in kv.rows(keys.DESIRED)}


# --- apply --------------------------------------------------------------------------------------------------------


async def test_a_blueprint_becomes_one_batch_of_text_pointer_and_wishes(operator, kv, log):
    """Half a blueprint in force would be a state that nobody asked for."""
    before = len(log.history)
    applied = await operator.apply(TWO, "ann")

    assert len(log.history) == before + 1
    assert applied.revision == kv.revision
    assert (applied.id, applied.number, applied.slices) == ("shop", 1, (PRICING, STOCK))
    row = kv.get(keys.blueprint("shop", 1))
    assert (row.text, row.applied_by, row.applied_at) == (TWO, "ann", 1_000.0)
    wish = desired(kv)["shop:pricing:1.0.0"]
    assert (wish.instances, wish.max_per_node, wish.blueprint) == (2, 1, "shop")
    assert wish.config == {"shop.currency": "EUR"}
    assert wish.bind == {"Pricing": "shop:pricing"}


async def test_the_same_text_again_changes_nothing(operator, kv, log):
    """A deployment pipeline may apply at every run."""
    first = await operator.apply(TWO)
    revision = kv.revision

    again = await operator.apply(TWO)

    assert kv.revision == revision
    assert attrs.evolve(again, revision=first.revision) == first


async def test_the_same_text_after_a_scale_restores_what_it_says_without_a_new_number(operator, kv):
    """The text is the wish; a scale by hand lasts until it is applied again."""
    await operator.apply(TWO)
    await operator.scale("shop:pricing", 5)

    again = await operator.apply(TWO)

    assert again.number == 1
    assert desired(kv)["shop:pricing:1.0.0"].instances == 2


async def test_another_text_counts_on_and_drops_what_it_no_longer_names(operator, kv):
    """The blueprint says what is wanted, not what to add."""
    await operator.apply(TWO)

    applied = await operator.apply(ONE)

    assert applied.number == 2
    assert list(desired(kv)) == ["shop:pricing:1.0.0"]
    assert kv.get(keys.blueprint("shop", 1)).text == TWO, "the history is kept"
    assert kv.get(keys.blueprint_current("shop")) == 2


async def test_only_so_many_texts_are_kept(operator, kv):
    """Nothing grows without a bound."""
    for number in range(BLUEPRINTS_KEPT + 3):
        await operator.apply(ONE + f"# {number}\n")

    assert len(list(kv.rows(keys.blueprints_of("shop")))) == BLUEPRINTS_KEPT
    assert kv.get(keys.blueprint("shop", 3)) is None


async def test_a_slice_of_another_blueprint_is_a_conflict_that_names_it(operator, kv):
    """Two teams must not fight over one slice without noticing."""
    await operator.apply(TWO)
    revision = kv.revision

    with pytest.raises(Conflict, match=r"shop:pricing: blueprint 'shop' owns it"):
        await operator.apply(ONE.replace("shop:1.0.1", "rival"))
    assert kv.revision == revision


async def test_unknown_slices_are_all_named_with_what_comes_nearest(operator, kv):
    """One run of the command shows every mistake."""
    text = 'slices = [{artifact="shop:pricin:1.0.0"}, {artifact="shop:stock:^9"}, {artifact="zzz:qqqq:1.0.0"}]'

    with pytest.raises(BadInput) as caught:
        await operator.apply(text)

    pricin, stock, unknown = caught.value.problems
    assert pricin == "shop:pricin:1.0.0: no member offers it; did you mean shop:pricing?"
    assert stock == "shop:stock:^9: members offer only version 1.0.0"
    assert unknown.startswith("zzz:qqqq:1.0.0: no member offers it; start a node")
    assert desired(kv) == {}


async def test_a_version_in_force_that_the_range_allows_stays_in_force(operator, kv):
    """A process that brings a newer version changes what is available; the version changes by rollout alone."""
    await operator.apply(ONE)
    newer = Artifact.parse("shop:pricing:1.5.0")
    row = MemberRow(node=NodeId("n2"), incarnation=Incarnation("i"), available=(newer,))
    kv.log.apply(Batch((), (Put(keys.member(row.node), row),)))

    await operator.apply(ONE + "# again")

    assert list(desired(kv)) == ["shop:pricing:1.0.0"]


async def test_a_blueprint_stays_in_force_while_no_member_offers_its_slices(operator, kv, log):
    """All nodes may be down for a moment; applying the same text then is no mistake."""
    await operator.apply(ONE)
    log.apply(Batch((), (Delete(keys.member(NodeId("n1"))),)))

    assert (await operator.apply(ONE)).number == 1


async def test_a_missing_count_is_the_slice_s_own_default_and_later_the_count_in_force(kv, operator):
    """The node that takes the second request may not know the slice at all."""
    said = ContractDescription(name="P", methods={}, faults={}, definitions={}, options=SliceOptions(instances=7))
    knowing = Operator(kv, lambda: 0.0, lambda artifact: said)
    await knowing.apply(ONE)
    assert desired(kv)["shop:pricing:1.0.0"].instances == 7

    await operator.apply(ONE)

    assert desired(kv)["shop:pricing:1.0.0"].instances == 7


async def test_a_race_is_decided_again_on_what_the_other_one_wrote(operator, kv, log):
    """Compare-and-set: the second writer sees the first one's work, and does not undo it unseen."""
    rival = Operator(type(kv)(log), lambda: 0.0)

    def meanwhile():
        key = keys.desired(STOCK.base)
        row = attrs.evolve(desired(kv)["shop:stock:1.0.0"], blueprint="rival")
        log.apply(Batch((), (Put(key, row),)))

    await operator.apply(TWO)
    kv.before_apply = [meanwhile]
    with pytest.raises(Conflict, match="blueprint 'rival' owns it"):
        await operator.apply(TWO + "# changed")
    assert (await rival.scale("shop:stock", 3)).row.blueprint == "rival"


async def test_endless_races_end_in_a_conflict(operator, kv, log):
    """Every retry is bounded."""
    await operator.apply(ONE)

    def meanwhile():
        key = keys.desired(PRICING.base)
        log.apply(Batch((), (Put(key, kv.get(key)),)))

    kv.before_apply = [meanwhile] * 100
    with pytest.raises(Conflict, match="8 times"):
        await operator.scale("shop:pricing", 3)


async def test_every_mutation_reads_a_state_as_new_as_the_request(operator, kv):
    """A node that lags behind must not decide that there is nothing to do."""
    await operator.apply(ONE)
    await operator.deploy("shop:stock:1.0.0")
    await operator.scale("shop:stock", 2)
    await operator.undeploy("shop:stock")
    await operator.implicit([])

    assert kv.barriers == 5


async def test_without_quorum_a_mutation_says_so(operator, kv):
    """The operator must know that nothing happened."""
    kv.quorum = False

    with pytest.raises(NoQuorum):
        await operator.deploy("shop:stock:1.0.0")


# --- deploy, scale, undeploy --------------------------------------------------------------------------------------


async def test_deploy_owns_the_blueprint_adhoc(operator, kv):
    """A single deployment must not be dropped by the next blueprint."""
    wished = await operator.deploy("shop:stock:1.0.0", 3)

    assert wished.artifact == STOCK.base
    assert (wished.row.blueprint, wished.row.instances) == ("adhoc", 3)
    assert wished.revision == kv.revision


async def test_deploy_takes_the_newest_version_of_a_range(operator):
    """The original took the lower bound, even when only newer ones existed."""
    assert (await operator.deploy("shop:pricing:*")).row.artifact == PRICING_2


async def test_deploying_another_version_keeps_the_count(operator, kv):
    """An update by hand must not silently scale down to one."""
    await operator.deploy("shop:pricing:1.0.0", 3)

    wished = await operator.deploy("shop:pricing:2.0.0")

    assert (wished.row.artifact, wished.row.instances) == (PRICING_2, 3)


async def test_deploying_the_same_again_writes_nothing(operator, kv):
    """A repeated request costs no entry of the log."""
    await operator.deploy("shop:stock:1.0.0", 3)
    revision = kv.revision

    await operator.deploy("shop:stock:1.0.0", 3)

    assert kv.revision == revision


async def test_deploy_of_a_slice_of_a_blueprint_is_a_conflict(operator):
    """The next run of that blueprint would undo it."""
    await operator.apply(TWO)

    with pytest.raises(Conflict, match="blueprint 'shop' owns it"):
        await operator.deploy("shop:stock:1.0.0", 3)


@pytest.mark.parametrize(
    "text", ["", "shop", "shop:stock", "shop:stock:", "shop:stock:x", "Shop:stock:1.0.0", "a:b:c:d"]
)
async def test_deploy_refuses_what_is_no_artifact(operator, text):
    """Before anything is read or written."""
    with pytest.raises(BadInput):
        await operator.deploy(text)


@pytest.mark.parametrize("count", [-1, INSTANCES_MAX + 1, True, 1.5, "3"])
async def test_a_count_out_of_range_is_refused(operator, count):
    """True and 1.5 come in through JSON."""
    await operator.deploy("shop:stock:1.0.0")

    with pytest.raises(BadInput, match="no whole number from 0 to 1000"):
        await operator.scale("shop:stock", count)
    with pytest.raises(BadInput):
        await operator.deploy("shop:stock:1.0.0", count)


async def test_scale_changes_the_count_and_nothing_else(operator, kv):
    """Limits and configuration belong to the blueprint."""
    await operator.apply(TWO)
    before = desired(kv)["shop:pricing:1.0.0"]

    await operator.scale("shop:pricing:1.0.0", 4)

    assert desired(kv)["shop:pricing:1.0.0"] == attrs.evolve(before, instances=4)


async def test_scale_to_zero_keeps_the_wish(operator, kv):
    """Its routes answer 503, not 404: it is wanted, and resting."""
    await operator.deploy("shop:stock:1.0.0", 2)

    await operator.scale("shop:stock", 0)

    assert desired(kv)["shop:stock:1.0.0"].instances == 0


async def test_scale_with_a_version_creates_what_is_not_wanted_yet(operator, kv):
    """As the original does."""
    wished = await operator.scale("shop:stock:1.0.0", 2)

    assert (wished.row.blueprint, wished.row.instances) == ("adhoc", 2)


async def test_scale_without_a_version_of_what_is_not_wanted_names_the_nearest(operator):
    """There is no version to start, and most likely a typing mistake."""
    await operator.deploy("shop:stock:1.0.0")

    with pytest.raises(NotFound, match="did you mean shop:stock"):
        await operator.scale("shop:stok", 2)


async def test_scale_of_another_version_than_the_one_in_force_is_a_conflict(operator):
    """Scaling is no way to change a version."""
    await operator.deploy("shop:pricing:1.0.0")

    with pytest.raises(Conflict, match=r"version 1.0.0 is in force, not 2.0.0"):
        await operator.scale("shop:pricing:2.0.0", 2)


async def test_undeploy_is_idempotent(operator, kv):
    """The original answers 200 for what is not there, and scripts rely on it."""
    await operator.deploy("shop:stock:1.0.0")

    first = await operator.undeploy("shop:stock:1.0.0")
    assert (first.row, first.changed) == (None, True)
    revision = kv.revision
    for artifact in ("shop:stock", "never:heard-of:1.0.0"):
        again = await operator.undeploy(artifact)
        assert (again.row, again.changed) == (None, False)
    assert kv.revision == revision
    assert desired(kv) == {}


async def test_undeploy_of_another_version_leaves_the_one_in_force(operator, kv):
    """Cleaning up an old version must not stop the new one."""
    await operator.deploy("shop:pricing:2.0.0")

    wished = await operator.undeploy("shop:pricing:1.0.0")

    assert (wished.row.artifact, wished.changed) == (PRICING_2, False)
    assert list(desired(kv)) == ["shop:pricing:2.0.0"]


# --- what opening deploys -------------------------------------------------------------------------------------------


def contract(artifact, instances=1):
    return types.SimpleNamespace(
        artifact=artifact, options=types.SimpleNamespace(instances=instances, scale=None, singleton=False)
    )


async def test_the_slices_of_an_opening_process_are_wanted_as_blueprint_app(operator, kv):
    """`Cluster.open(PlaceOrder)` runs it, without any file."""
    await operator.implicit([contract(PRICING, 3), contract(STOCK), contract(None)])

    rows = desired(kv)
    assert {(text, row.instances, row.blueprint) for text, row in rows.items()} == {
        ("shop:pricing:1.0.0", 3, "app"),
        ("shop:stock:1.0.0", 1, "app"),
    }


async def test_of_several_versions_that_a_process_brings_the_newest_is_wanted(operator, kv):
    """The order in which modules are imported must not decide."""
    await operator.implicit([contract(PRICING_2), contract(PRICING)])

    assert list(desired(kv)) == ["shop:pricing:2.0.0"]


async def test_opening_changes_nothing_that_is_wanted_already(operator, kv):
    """The first writer wins; a process with a newer version only changes what is available."""
    await operator.deploy("shop:pricing:1.0.0", 2)

    await operator.implicit([contract(PRICING_2, 9)])

    assert list(desired(kv)) == ["shop:pricing:1.0.0"]
    assert desired(kv)["shop:pricing:1.0.0"].instances == 2


async def test_two_processes_that_open_at_once_do_not_overwrite_each_other(operator, kv, log):
    """The loser looks again, and adds only what is still missing."""
    other = Operator(type(kv)(log), lambda: 0.0)
    row = attrs.evolve((await other.deploy("shop:pricing:1.0.0", 2)).row)
    await other.undeploy("shop:pricing")
    kv.before_apply = [lambda: log.apply(Batch((), (Put(keys.desired(PRICING.base), row),)))]

    await operator.implicit([contract(PRICING_2, 9), contract(STOCK)])

    assert desired(kv)["shop:pricing:1.0.0"] == row
    assert desired(kv)["shop:stock:1.0.0"].blueprint == "app"


async def test_a_blueprint_app_takes_over_what_opening_wanted(operator, kv):
    """The implicit blueprint is a start, not a rival."""
    await operator.implicit([contract(PRICING), contract(STOCK)])

    await operator.apply('[[slices]]\nartifact = "shop:pricing:1.0.0"\ninstances = 4\n')

    assert {text: row.instances for text, row in desired(kv).items()} == {"shop:pricing:1.0.0": 4}


async def test_the_largest_blueprint_replaces_the_largest_blueprint_in_one_batch(operator, kv, log):
    """The limit on slices is derived from the limit on batches; here both are reached."""
    texts = [
        'id = "big"\n' + "".join(f'[[slices]]\nartifact = "g:{kind}{n}:1.0.0"\n' for n in range(BLUEPRINT_SLICES_MAX))
        for kind in "ab"
    ]
    offered = tuple(Artifact.parse(f"g:{kind}{n}:1.0.0") for kind in "ab" for n in range(BLUEPRINT_SLICES_MAX))
    row = MemberRow(node=NodeId("n2"), incarnation=Incarnation("i"), available=offered)
    log.apply(Batch((), (Put(keys.member(row.node), row),)))

    for text in texts:
        await operator.apply(text)

    assert len(desired(kv)) == BLUEPRINT_SLICES_MAX
    assert all(text.startswith("g:b") for text in desired(kv))


async def test_of_two_texts_at_once_one_is_refused_and_told_whose_won(operator, kv, log):
    """The second operator must see what the first one did before it is undone."""
    rival = BlueprintRow(id="shop", number=1, text="rival", applied_by="bob", applied_at=86_400.0)
    puts = (Put(keys.blueprint("shop", 1), rival), Put(keys.blueprint_current("shop"), 1))
    kv.before_apply = [lambda: log.apply(Batch((), puts))]

    with pytest.raises(Conflict, match=r"number 1 by bob at 1970-01-02 00:00:00\+00:00 is in force"):
        await operator.apply(ONE)

    assert kv.get(keys.blueprint("shop", 1)) == rival
    assert (await operator.apply(ONE)).number == 2, "who has looked may apply"


# --- overrides ----------------------------------------------------------------------------------------------------


def override(kv, base=PRICING.base):
    return kv.get(keys.override(base))


async def test_a_scale_is_an_override_that_says_who_wanted_it_and_why(operator, kv, log):
    """The text still says two; whoever sees five can read why, and both come in one batch."""
    await operator.apply(TWO)
    before = len(log.history)

    wished = await operator.scale("shop:pricing", 5, by="ann", until=2_000.0, reason="sale")

    row = override(kv)
    assert (row.instances, row.owner, row.by, row.at, row.until) == (5, "operator", "ann", 1_000.0, 2_000.0)
    assert (row.reason, wished.override) == ("sale", row)
    assert (wished.row.instances, wished.row.wished) == (5, 2)
    assert len(log.history) == before + 1


async def test_scaling_to_what_the_blueprint_says_takes_the_override_back(operator, kv):
    """An override that overrides nothing would only confuse."""
    await operator.apply(TWO)
    await operator.scale("shop:pricing", 5)

    wished = await operator.scale("shop:pricing", 2)

    assert override(kv) is None
    assert (wished.row.instances, wished.changed) == (2, True)


async def test_the_same_scale_again_writes_nothing(operator, kv):
    """Who said it first stays written down."""
    await operator.apply(TWO)
    await operator.scale("shop:pricing", 5, by="ann")
    revision = kv.revision

    again = await operator.scale("shop:pricing", 5, by="bob")

    assert (kv.revision, again.changed, override(kv).by) == (revision, False, "ann")


async def test_an_end_that_is_past_is_refused(operator):
    """A typing mistake in a date must not look like a scale."""
    await operator.apply(TWO)

    with pytest.raises(BadInput, match="until: that time has passed"):
        await operator.scale("shop:pricing", 5, until=999.0)


async def test_an_apply_takes_back_an_operator_s_override_and_no_scaler_s(operator, kv, log):
    """An explicit count is the newer word of a person; a scaler goes on as before, within the bounds."""
    await operator.apply(TWO)
    await operator.scale("shop:pricing", 5)
    await operator.apply(TWO)
    assert override(kv) is None

    scaler = OverrideRow(artifact=PRICING.base, instances=4, owner="scaler")
    log.apply(Batch((), (Put(keys.override(PRICING.base), scaler),)))
    await operator.apply(TWO + "# again")

    assert override(kv) == scaler
    assert desired(kv)["shop:pricing:1.0.0"].instances == 4


async def test_an_apply_without_a_count_keeps_the_override(operator, kv):
    """It says nothing against it."""
    await operator.apply(ONE)
    await operator.scale("shop:pricing", 5)

    await operator.apply(ONE + "# again")

    assert (override(kv).instances, desired(kv)["shop:pricing:1.0.0"].instances) == (5, 5)


async def test_a_scale_outside_the_bounds_of_the_blueprint_is_refused(operator, kv, log):
    """Half of what was asked for would be a surprise; the message says what to change."""
    await operator.apply(TWO)
    row = attrs.evolve(desired(kv)["shop:pricing:1.0.0"], instances_min=1, instances_max=4)
    log.apply(Batch((), (Put(keys.desired(PRICING.base), row),)))

    for count in (0, 5):
        with pytest.raises(BadInput, match=f"instances: {count} is not within 1 to 4, as blueprint 'shop' says"):
            await operator.scale("shop:pricing", count)


async def test_no_scale_and_no_deploy_while_an_update_is_under_way(operator, kv, log):
    """The update moves the counts of both versions itself."""
    await operator.deploy("shop:pricing:1.0.0", 2)
    rollout = RolloutRow(
        id="r1",
        artifact=PRICING.base,
        old=PRICING.version,
        new=PRICING_2.version,
        state=RolloutState.ROUTING,
    )
    log.apply(Batch((), (Put(keys.rollout(PRICING.base, "r1"), rollout),)))

    with pytest.raises(Conflict, match=r"update r1 from 1\.0\.0 to 2\.0\.0 is under way \(ROUTING\)"):
        await operator.scale("shop:pricing", 3)
    with pytest.raises(Conflict, match="under way"):
        await operator.deploy("shop:pricing:2.0.0")


async def test_undeploy_takes_the_override_with_it(operator, kv):
    """The next slice of that name begins anew."""
    await operator.deploy("shop:stock:1.0.0", 2)
    await operator.scale("shop:stock", 4)

    await operator.undeploy("shop:stock")

    assert override(kv, STOCK.base) is None
