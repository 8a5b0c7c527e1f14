"""Duties: whose word weighs most, what moves on by itself, what a drain says it waits for."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.deployment.duties import Moved, decide_duties, duties_of, is_ready, node_duty, still_there
from aether.model.artifact import Artifact
from aether.model.duty import NEXT_DUTY, Duty, DutyRow
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import InstanceRow, MemberRow

PRICING = Artifact.parse("shop:pricing:1.0.0")
D = Duty


def member(name="n1", incarnation="i", **fields):
    return MemberRow(node=NodeId(name), incarnation=Incarnation(incarnation), **fields)


def said(duty, name="n1", incarnation="i", **fields):
    return DutyRow(node=NodeId(name), duty=duty, incarnation=Incarnation(incarnation), **fields)


def instance(name="n1", state=SliceState.ACTIVE, number=1):
    return InstanceRow(
        instance=InstanceId(f"a{number}"),
        artifact=PRICING,
        node=NodeId(name),
        incarnation=Incarnation("i"),
        state=state,
    )


@pytest.mark.parametrize("word", [None, *Duty])
@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_the_duty_of_a_node_for_each_word_readiness_and_process(word, ready, same):
    row = None if word is None else said(word, incarnation="i" if same else "older")
    own = D.ON_DUTY if ready else D.JOINING
    expected = {D.DRAINING: D.DRAINING, D.DECOMMISSIONED: D.DECOMMISSIONED}.get(word, own)
    if word is D.SHUTTING_DOWN and same:
        expected = D.SHUTTING_DOWN

    assert node_duty(member(), row, ready) is expected
    assert node_duty(member(draining=True), row, ready) is D.SHUTTING_DOWN


def test_an_announced_node_and_one_that_catches_up_are_joining():
    assert not is_ready(member(incarnation=""))
    assert not is_ready(member(joining=True))
    assert is_ready(member())
    assert duties_of([member("n1"), member("n2", joining=True)], [said(D.DRAINING)]) == {
        "n1": D.DRAINING,
        "n2": D.JOINING,
    }


def test_an_emptied_node_is_decommissioned_and_one_with_any_row_is_not():
    members = {NodeId("n1"): member()}
    word = said(D.DRAINING, by="ann", force=True)

    assert list(decide_duties([word], members, [instance("n2")], 7.0)) == [
        Moved(NodeId("n1"), attrs.evolve(word, duty=D.DECOMMISSIONED, at=7.0))
    ]
    for state in SliceState:
        assert list(decide_duties([word], members, [instance("n1", state)], 7.0)) == []


def test_a_shutdown_is_void_for_the_next_process():
    assert list(decide_duties([said(D.SHUTTING_DOWN)], {NodeId("n1"): member()}, [], 7.0)) == []
    assert list(decide_duties([said(D.SHUTTING_DOWN)], {NodeId("n1"): member(incarnation="new")}, [], 7.0)) == [
        Moved(NodeId("n1"), None)
    ]


@given(
    words=st.lists(st.tuples(st.sampled_from(Duty), st.sampled_from(["i", "older"])), max_size=4),
    hosting=st.sets(st.integers(0, 3)),
    known=st.sets(st.integers(0, 3)),
    leaving=st.sets(st.integers(0, 3)),
)
def test_what_the_leader_writes_is_a_move_that_the_table_allows(words, hosting, known, leaving):
    rows = [said(duty, f"n{n}", incarnation) for n, (duty, incarnation) in enumerate(words)]
    members = {NodeId(f"n{n}"): member(f"n{n}", draining=n in leaving) for n in known}
    before = {row.node: row for row in rows}
    moves = list(decide_duties(rows, members, [instance(f"n{n}") for n in hosting], 1.0))

    for move in moves:
        was = before[move.node].duty
        now = D.JOINING if move.row is None else move.row.duty
        assert now in NEXT_DUTY[was]
    after = {**before, **{move.node: move.row for move in moves}}
    again = decide_duties(
        [row for row in after.values() if row is not None], members, [instance(f"n{n}") for n in hosting], 2.0
    )
    assert list(again) == []


def test_a_drain_says_what_is_left_and_why():
    rows = [instance(number=1), instance(number=2), instance("n2", number=3)]
    base = PRICING.base

    assert still_there(NodeId("n1"), rows, {}) == ["shop:pricing: 2 still on n1"]
    assert still_there(NodeId("n1"), rows, {base: "n2 is full"}) == [
        "shop:pricing: 2 still on n1; no place elsewhere: n2 is full"
    ]
    assert still_there(NodeId("n3"), rows, {}) == []
