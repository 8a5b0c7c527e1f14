"""One transition of an update: the table, what each strategy does, and what no transition may ever do."""

import itertools

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.deployment.rollout import begin_rollback, decide_rollout, new_rollout, traffic_of
from aether.deployment.rollout_facts import RolloutFacts, VersionStanding
from aether.deployment.rollout_steps import count_steps, old_before, step_at, step_of_share
from aether.deployment.rollout_wishes import approve, complete, waits_for, waits_for_a_person
from aether.errors import Conflict
from aether.model.artifact import Artifact
from aether.model.limits import ROLLOUT_DEPLOY_S
from aether.model.rollout import (
    NEXT_ROLLOUT,
    TERMINAL,
    Cleanup,
    Gates,
    IllegalRolloutMove,
    RolloutPlan,
    RolloutState,
    Strategy,
    advance_rollout,
)
from aether.model.rows import DesiredRow
from aether.model.version import Version

OLD = Artifact.parse("shop:pricing:1.0.0")
NEW = Version.parse("2.0.0")
R = RolloutState


class Played:
    """A cluster that does what its rows say, one bit at a time, as told."""

    def __init__(self, plan, instances=3, **limits):
        self.desired = DesiredRow(artifact=OLD, instances=instances, blueprint="app")
        self.row = new_rollout("r1", self.desired, NEW, plan, "ann", 0.0)
        self.traffic = None
        self.old, self.new = instances, 0
        self.failing = False
        self.failed = 0
        self.wanted = instances
        self.now = 0.0
        self.applied = True
        self.limits = limits
        self.said = {}
        self.history = []

    @property
    def facts(self):
        failed = VersionStanding(self.new + self.failed, self.new, self.failed, "bang")
        return RolloutFacts(
            desired=self.desired,
            traffic=self.traffic,
            old=VersionStanding(self.old, self.old),
            new=failed,
            wanted=self.wanted,
            is_applied=self.applied,
            lasted_s=self.now - self.row.since,
            **self.limits,
            **self.said,
        )

    def decide(self):
        """One transition; whether there was one. Every promise is checked at each."""
        facts = self.facts
        changes = decide_rollout(self.row, facts, self.now)
        if changes is None:
            return False
        check(self.row, facts, changes)
        self.write(changes)
        return True

    def write(self, changes):
        self.row = changes.row
        self.desired = self.desired if changes.desired is None else changes.desired
        self.traffic = None if changes.drops_traffic else changes.traffic or self.traffic
        self.applied = False
        self.history.append((self.row.state, self.row.weight_new, self.row.weight_old, self.counts))

    @property
    def counts(self):
        desired = self.desired
        if desired.artifact == OLD:
            return desired.instances, desired.beside_instances
        return desired.beside_instances, desired.instances

    def converge(self):
        """Instances come and go as reconcile would have it: within the room there is."""
        old, new = self.counts
        self.old = min(self.old, old)
        room = self.limits.get("places")
        self.failed = 0
        if self.failing:
            self.new, self.failed = 0, new
        else:
            self.new = new if room is None else min(new, max(0, room - self.old))
        self.old = old if room is None else min(old, max(0, room - self.new))
        self.applied = True

    def run(self, turns=400, pause_s=1.0):
        """Until it is over, or waits with everything as its rows say."""
        for _ in range(turns):
            while self.decide():
                pass
            if self.row.state in TERMINAL:
                return self.row.state
            self.converge()
            self.now += pause_s
        return self.row.state


def check(row, facts, changes):
    """What holds of every transition, from whatever rows."""
    if changes.row.state is not row.state:
        advance_rollout(row.state, changes.row.state)
    gains_new = changes.row.weight_new * (row.weight_new + row.weight_old) > row.weight_new * (
        changes.row.weight_new + changes.row.weight_old
    )
    if gains_new:
        assert facts.new.active > 0 or facts.wanted == 0, "traffic to a version without an ACTIVE instance"
        assert facts.is_applied, "traffic to instances that not every node knows"
    if changes.traffic is not None:
        assert changes.traffic == traffic_of(changes.row)
    if changes.desired is None or facts.desired is None:
        return
    before, after = facts.desired, changes.desired
    taken_old = after.artifact == before.artifact and after.instances < min(before.instances, facts.wanted)
    if taken_old and facts.places is None and facts.traffic is not None:
        whole = row.weight_new + row.weight_old
        assert after.instances * whole >= facts.wanted * changes.row.weight_old, "old instances that have traffic go"
    is_other = before.beside is not None and before.beside != before.artifact.version  # else it is in force already
    if is_other and after.beside is None and after.artifact == before.artifact:
        is_over = changes.row.state is RolloutState.FAILED
        assert is_over or row.weight_new == 0, "new instances that have traffic go"
    if after.artifact != before.artifact:
        assert row.weight_old == 0
        assert facts.is_applied


@pytest.mark.parametrize(("current", "wanted"), [*itertools.product(RolloutState, RolloutState)])
def test_a_move_is_legal_exactly_when_the_table_has_it(current, wanted):
    """All pairs."""
    if wanted in NEXT_ROLLOUT[current]:
        assert advance_rollout(current, wanted) is wanted
    else:
        with pytest.raises(IllegalRolloutMove, match=f"a rollout is {current} and cannot become {wanted}"):
            advance_rollout(current, wanted)


@pytest.mark.parametrize("strategy", [s for s in Strategy if s not in (Strategy.MANUAL, Strategy.AB)])
def test_each_strategy_ends_with_the_new_version_alone(strategy):
    """In force, with as many instances as before, and no rows left over."""
    played = Played(RolloutPlan(strategy=strategy, batch=2), instances=5)
    assert played.run() is R.COMPLETED
    assert played.desired.artifact == OLD.base.at(NEW)
    assert (played.desired.instances, played.desired.beside, played.desired.beside_instances) == (5, None, 0)
    assert played.traffic is None
    assert (played.old, played.new) == (0, 5)


def test_the_new_version_gets_no_call_before_it_is_deployed():
    """The traffic row comes with the wish, in one batch."""
    played = Played(RolloutPlan())
    assert played.decide()
    assert dict(played.traffic.weights) == {"1.0.0": 1, "2.0.0": 0}
    while played.row.state is not R.DEPLOYING:
        assert played.desired.beside is None
        assert played.decide()
    assert dict(played.traffic.weights) == {"1.0.0": 1, "2.0.0": 0}
    assert played.desired.beside == NEW


def test_a_rolling_update_moves_instances_and_traffic_together():
    """Exactly: of five, after each batch, the parts of the traffic are the instances."""
    played = Played(RolloutPlan(strategy=Strategy.ROLLING, batch=2), instances=5)
    played.run()
    shares = list(dict.fromkeys((new, old) for state, new, old, _ in played.history if state is R.ROUTING))
    assert shares == [(0, 1), (2, 3), (4, 1), (5, 0)]
    assert max(sum(counts) for *_, counts in played.history) == 7, "one batch more than wanted at any time"
    assert min(sum(counts) for *_, counts in played.history) == 5


def test_a_canary_takes_its_steps_and_holds_each():
    played = Played(RolloutPlan(strategy=Strategy.CANARY, steps=(10, 50), hold_s=30))
    assert played.run() is R.COMPLETED
    assert list(dict.fromkeys(new for state, new, *_ in played.history if state is R.VALIDATING)) == [10, 50, 100]
    assert played.now >= 90


@pytest.mark.parametrize("strategy", [Strategy.AB, Strategy.MANUAL])
def test_what_a_person_ends_stands_until_then(strategy):
    played = Played(RolloutPlan(strategy=strategy, rules=("header:X-Beta=1",) if strategy is Strategy.AB else ()))
    stands = {Strategy.AB: R.VALIDATING, Strategy.MANUAL: R.DEPLOYED}
    assert played.run(turns=1000, pause_s=100) is stands[strategy]
    assert dict(played.traffic.rules) == ({"header:X-Beta=1": "2.0.0"} if strategy is Strategy.AB else {})


def test_the_old_version_is_kept_for_the_grace_and_the_switch_back_is_instant():
    """Traffic first: the old instances are all there, so the first transition carries it back."""
    played = Played(RolloutPlan(strategy=Strategy.BLUE_GREEN, cleanup=Cleanup.GRACE_PERIOD, grace_s=300))
    played.run(turns=100)
    assert played.row.state is R.COMPLETING
    assert (played.old, played.new) == (3, 3)
    played.write(begin_rollback(played.row, played.facts, "rolled back", played.now))
    assert played.decide()
    assert dict(played.traffic.weights) == {"1.0.0": 1, "2.0.0": 0}
    assert played.desired.beside_instances == 3, "instances go afterwards"
    assert played.run() is R.ROLLED_BACK
    assert (played.old, played.new, played.desired.instances) == (3, 0, 3)


def test_the_grace_ends():
    played = Played(RolloutPlan(strategy=Strategy.BLUE_GREEN, cleanup=Cleanup.GRACE_PERIOD, grace_s=300))
    assert played.run() is R.COMPLETED
    assert 300 <= played.now < 320


def test_a_version_that_never_starts_is_taken_back_with_the_reason():
    played = Played(RolloutPlan())
    played.failing = True
    assert played.run() is R.ROLLED_BACK
    assert played.row.reason == "every instance of 2.0.0 failed: bang"
    assert played.counts == (3, 0)


def test_instances_that_do_not_come_in_time_are_not_waited_for():
    played = Played(RolloutPlan(), places=None)
    played.converge = lambda: setattr(played, "applied", True)
    played.run(turns=int(ROLLOUT_DEPLOY_S) + 10)
    assert played.row.state is R.ROLLED_BACK
    assert played.row.reason == "0 of 1 instances of 2.0.0 are ACTIVE after 300 s"


def test_bad_health_takes_it_back_from_every_step():
    played = Played(RolloutPlan(strategy=Strategy.CANARY, gates=Gates(error_rate=0.01), hold_s=5))
    played.run(turns=20)
    assert played.row.state is R.VALIDATING
    played.said = {"bad": "5 of 50 calls failed"}
    assert played.run() is R.ROLLED_BACK
    assert played.row.reason == "5 of 50 calls failed"


def test_too_few_calls_say_nothing_and_a_person_may_go_on():
    played = Played(RolloutPlan(strategy=Strategy.CANARY, steps=(50,), gates=Gates(error_rate=0.01)))
    played.said = {"too_few": "3 calls", "health": {"reason": "3 calls"}}
    played.run(turns=50)
    assert (played.row.state, played.row.step) == (R.VALIDATING, 0)
    assert dict(played.row.health) == {"reason": "3 calls"}
    played.row = attrs.evolve(played.row, approved=1)
    played.run(turns=50)
    assert played.row.step == 1


def test_each_step_waits_for_approval():
    played = Played(RolloutPlan(strategy=Strategy.CANARY, steps=(50,), manual_approval=True))
    for approved, state, step in [(0, R.VALIDATING, 0), (1, R.VALIDATING, 1), (2, R.COMPLETED, 1)]:
        played.run(turns=30)
        assert played.row.state is (R.DEPLOYED if approved == 0 else R.VALIDATING)
        played.row = attrs.evolve(played.row, approved=approved)
        played.run(turns=30)
        assert (played.row.state, played.row.step) == (state, step)


def test_without_room_a_rolling_update_takes_the_place_of_old_instances():
    """Three places, three instances: one at a time goes first."""
    played = Played(RolloutPlan(strategy=Strategy.ROLLING), instances=3, places=3)
    assert played.run() is R.COMPLETED
    assert max(sum(counts) for *_, counts in played.history) == 3


def test_members_that_leave_meanwhile_take_nothing_from_min_available():
    """Two of four places go: old instances do not go for the new one's sake below what must stay."""
    played = Played(RolloutPlan(), instances=4, places=4, needed=3)
    while played.row.state is not R.DEPLOYING:
        played.decide()
    assert played.desired.instances == 3
    played.limits["places"] = 2
    played.decide()
    assert played.desired.instances == 3
    played.limits["places"] = 0
    played.decide()
    assert played.desired.instances >= 3


def test_a_version_that_is_lost_whole_after_it_got_all_calls_gives_them_back():
    """Its nodes vanished, and nobody else has its code; the old version still waits for its grace to end."""
    played = Played(RolloutPlan(strategy=Strategy.BLUE_GREEN, cleanup=Cleanup.MANUAL))
    played.run(turns=20)
    assert played.row.state is R.COMPLETING
    played.new = 0
    assert not played.decide(), "nodes that were started again come back within that time"
    played.now += ROLLOUT_DEPLOY_S
    played.decide()
    assert (played.row.state, played.row.reason) == (
        R.ROLLING_BACK,
        "no instance of 2.0.0 is left, and none can be placed",
    )


def test_a_slice_that_is_undeployed_meanwhile_fails_its_update():
    played = Played(RolloutPlan(hold_s=5))
    played.run(turns=8)
    changes = decide_rollout(played.row, attrs.evolve(played.facts, desired=None), played.now)
    assert changes.row.state is R.FAILED
    assert changes.drops_traffic
    assert changes.row.reason == "shop:pricing is wanted no more"


def test_a_version_put_in_force_by_others_fails_it():
    played = Played(RolloutPlan(hold_s=5))
    played.run(turns=8)
    other = attrs.evolve(played.desired, artifact=OLD.base.at(Version.parse("3.0.0")))
    changes = decide_rollout(played.row, attrs.evolve(played.facts, desired=other), played.now)
    assert changes.row.state is R.FAILED
    assert changes.desired.beside is None


def test_rows_that_others_changed_come_back_to_what_the_update_says():
    """Level over edge: whoever wrote them."""
    played = Played(RolloutPlan(strategy=Strategy.CANARY, hold_s=1000))
    played.run(turns=20)
    traffic, desired = played.traffic, played.desired
    played.traffic = None
    played.desired = attrs.evolve(desired, beside=None, beside_instances=0)
    assert played.decide()
    assert (played.traffic, played.desired) == (traffic, desired)


def test_a_count_that_falls_while_a_step_is_judged_does_not_end_it_early():
    """The last step has all the traffic, whatever number it has."""
    played = Played(RolloutPlan(strategy=Strategy.ROLLING, hold_s=50), instances=4)
    played.run(turns=60)
    assert (played.row.state, played.row.weight_new, played.row.weight_old) == (R.VALIDATING, 2, 2)
    played.wanted = 2
    assert played.run() is R.COMPLETED
    last = [weights for state, *weights, _ in played.history if state is R.COMPLETING]
    assert {tuple(weights) for weights in last} == {(2, 0)}


def test_a_scale_during_an_update_is_honoured():
    played = Played(RolloutPlan(strategy=Strategy.ROLLING, hold_s=3), instances=4)
    played.run(turns=6)
    played.wanted = 6
    assert played.run() is R.COMPLETED
    assert played.desired.instances == 6


# --- properties ---

plans = st.builds(
    RolloutPlan,
    strategy=st.sampled_from(Strategy),
    steps=st.sampled_from([(), (50,), (10, 20, 100)]),
    hold_s=st.sampled_from([0.0, 2.0]),
    batch=st.integers(1, 4),
    instances=st.none() | st.integers(1, 5),
    rules=st.just(("key=ann",)),
    manual_approval=st.booleans(),
    cleanup=st.sampled_from(Cleanup),
    grace_s=st.sampled_from([0.0, 5.0]),
)


@given(
    plan=plans,
    wanted=st.integers(0, 6),
    state=st.sampled_from(RolloutState),
    step=st.integers(-1, 12),
    weights=st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(any),
    approved=st.integers(-1, 4),
    paused=st.booleans(),
    version=st.sampled_from([OLD, OLD.base.at(NEW), None]),
    beside=st.none() | st.tuples(st.sampled_from([NEW, Version.parse("3.0.0")]), st.integers(0, 6)),
    instances=st.integers(0, 6),
    old=st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)),
    new=st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)),
    applied=st.booleans(),
    places=st.none() | st.integers(0, 12),
    needed=st.integers(0, 6),
    bad=st.sampled_from(["", "bad"]),
    too_few=st.sampled_from(["", "few"]),
    lasted_s=st.sampled_from([0.0, 3.0, 61.0, 301.0]),
)
@settings(max_examples=600)
def test_from_any_rows_no_transition_breaks_a_promise(
    plan, wanted, state, step, weights, approved, paused, version, beside, instances, old, new, applied, places,
    needed, bad, too_few, lasted_s,
):  # fmt: skip
    """Illegal moves, traffic without instances, instances without their traffic: from whatever somebody wrote."""
    desired = DesiredRow(artifact=OLD, instances=wanted, blueprint="app")
    row = attrs.evolve(
        new_rollout("r", desired, NEW, plan, "", 0.0),
        state=state, step=step, weight_new=weights[0], weight_old=weights[1], approved=approved, paused=paused,
    )  # fmt: skip
    found = None
    if version is not None:
        found = attrs.evolve(desired, artifact=version, instances=instances)
        if beside is not None:
            found = attrs.evolve(found, beside=beside[0], beside_instances=beside[1])
    facts = RolloutFacts(
        desired=found,
        traffic=traffic_of(row),
        old=VersionStanding(sum(old), old[1], old[2]),
        new=VersionStanding(sum(new), new[1], new[2]),
        wanted=wanted,
        is_applied=applied,
        places=places,
        needed=needed,
        bad=bad,
        too_few=too_few,
        lasted_s=lasted_s,
    )
    changes = decide_rollout(row, facts, lasted_s)
    if changes is not None:
        check(row, facts, changes)
        again = attrs.evolve(facts, desired=changes.desired or found, traffic=changes.traffic or facts.traffic)
        assert decide_rollout(changes.row, again, lasted_s) != changes, "a transition that repeats for ever"


@given(
    plan=plans,
    instances=st.integers(0, 6),
    places=st.none() | st.integers(7, 14),
    turns=st.integers(0, 30),
    ending=st.sampled_from(["complete", "fail", "bad", "rollback"]),
)
@settings(max_examples=300)
def test_every_update_ends_whatever_happens_on_the_way(plan, instances, places, turns, ending):
    """With a person who approves and completes, from any point on."""
    played = Played(plan, instances, places=places)
    played.run(turns=turns)
    if ending == "fail":
        played.failing = True
    elif ending == "bad":
        played.said = {"bad": "bad"}
    goes_back = played.desired.artifact == OLD and played.row.state not in {*TERMINAL, R.ROLLING_BACK}
    if ending == "rollback" and goes_back:
        played.write(begin_rollback(played.row, played.facts, "told", played.now))
    easier = attrs.evolve(plan, manual_approval=False, cleanup=Cleanup.IMMEDIATE)
    if plan.strategy in (Strategy.AB, Strategy.MANUAL):
        easier = attrs.evolve(easier, strategy=Strategy.IMMEDIATE)
    played.row = attrs.evolve(played.row, plan=easier)
    assert played.run() in TERMINAL
    assert played.traffic is None
    assert played.desired.beside is None
    if played.failing:  # after it was put in force: then the way back is another update
        assert played.old == played.counts[0]
    else:
        assert (played.old, played.new) == played.counts


@given(plan=plans, wanted=st.integers(0, 40))
def test_steps_only_rise_and_end_with_everything(plan, wanted):
    """Each step has as much of the new version as the one before, and never more than is wanted in all."""
    steps = [step_at(plan, wanted, index) for index in range(count_steps(plan, wanted))]
    shares = [step.weight_new / (step.weight_new + step.weight_old) for step in steps]
    assert shares == sorted(shares)
    assert [step.new for step in steps] == sorted(step.new for step in steps)
    if plan.strategy not in (Strategy.AB, Strategy.MANUAL):
        assert steps[-1].weight_old == 0
    for index, step in enumerate(steps):
        assert step.old <= old_before(plan, wanted, index)
        assert step_of_share(plan, wanted, step.weight_new, step.weight_old) >= index or plan.strategy in (
            Strategy.AB,
            Strategy.MANUAL,
        )


@pytest.mark.parametrize(
    ("changes", "plan", "said"),
    [
        ({"state": R.ROUTING}, {}, ""),
        ({"state": R.ROUTING, "paused": True}, {}, "resume (paused)"),
        ({"state": R.ROLLING_BACK, "paused": True}, {}, ""),
        ({"state": R.COMPLETED, "paused": True}, {"cleanup": Cleanup.MANUAL}, ""),
        ({"state": R.DEPLOYED}, {"strategy": Strategy.MANUAL}, "routing"),
        ({"state": R.ROUTING, "weight_new": 1, "weight_old": 0}, {"strategy": Strategy.MANUAL}, "complete"),
        ({"state": R.VALIDATING}, {"strategy": Strategy.CANARY, "manual_approval": True}, "approve"),
        ({"state": R.VALIDATING, "approved": 1}, {"strategy": Strategy.CANARY, "manual_approval": True}, ""),
        ({"state": R.VALIDATING}, {"strategy": Strategy.AB, "rules": ("key=a",)}, "complete, or rollback"),
        ({"state": R.COMPLETING}, {"cleanup": Cleanup.MANUAL}, "complete, or rollback"),
    ],
)
def test_what_an_update_wants_of_a_person_is_said(changes, plan, said):
    """A table that shows VALIDATING alone leaves whoever looks at it waiting for ever."""
    row = attrs.evolve(Played(RolloutPlan(**plan)).row, **changes)
    assert waits_for(row) == said
    assert waits_for_a_person(row) == (said != "" or row.state is R.COMPLETED)


def test_nothing_of_an_update_that_is_over_can_be_approved():
    """Not: it goes on by itself."""
    row = attrs.evolve(Played(RolloutPlan()).row, state=R.COMPLETED)
    with pytest.raises(Conflict, match="while it is COMPLETED: it is over"):
        approve(row, 0.0)


@pytest.mark.parametrize(
    ("state", "why"), [(R.DEPLOYING, "wait until it is DEPLOYED"), (R.ROLLING_BACK, "it is being rolled back")]
)
def test_what_cannot_be_completed_yet_says_why(state, why):
    """Not: route all of the traffic first, which would be refused as well."""
    row = attrs.evolve(Played(RolloutPlan()).row, state=state)
    with pytest.raises(Conflict, match=why):
        complete(row, 0.0)
