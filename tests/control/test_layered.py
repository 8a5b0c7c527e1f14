"""Layers above a controller veto and modify with reasons, and their absence changes nothing."""

import attrs
from tests.control.played import EPOCH_S, SHOP, Played, context, rules, view, window

from aether.control.bounds import clamped
from aether.control.decisions import Decision
from aether.control.layered import LayeredController, Verdict


@attrs.frozen
class Says:
    verdicts: tuple
    name: str = "night-watch"

    def review(self, context, decisions):
        return self.verdicts


class Fails:
    name = "oracle"

    def review(self, context, decisions):
        raise ConnectionError("no model answers")


@attrs.frozen
class Fixed:
    decisions: tuple
    name: str = "fixed"

    def decide(self, context):
        return self.decisions


UP = Decision(artifact=SHOP.base, before=2, after=4, confidence=0.9)
BELOW = Fixed((UP,))


def decided(*layers):
    (decision,) = LayeredController(BELOW, layers).decide(context(view(2)))
    return decision


def test_without_layers_the_controller_below_decides_alone():
    assert decided() == UP
    assert LayeredController(BELOW).name == "fixed"


def test_a_veto_leaves_the_count_and_says_why_before_the_other_reasons():
    vetoed = decided(Says((Verdict(artifact=SHOP.base, text="a migration runs until six"),)))

    assert (vetoed.before, vetoed.after) == (2, 2)
    assert (vetoed.reasons[0].rule, vetoed.reasons[0].text) == ("night-watch", "a migration runs until six")


def test_a_layer_modifies_a_count_and_the_next_one_sees_that():
    first = Says((Verdict(artifact=SHOP.base, text="three will do", after=3, confidence=0.5),), "first")
    seen = []

    class Second:
        name = "second"

        def review(self, context, decisions):
            seen.extend(decisions)
            return ()

    changed = decided(first, Second())

    assert (changed.after, changed.confidence) == (3, 0.5)
    assert seen == [changed]


def test_a_layer_that_fails_is_left_out_and_says_so():
    left = decided(Fails())

    assert left.after == 4
    assert "no model answers" in left.reasons[-1].text


def test_a_layer_invents_no_word_about_a_slice_that_nobody_spoke_of():
    made = LayeredController(Fixed(()), [Says((Verdict(artifact=SHOP.base, text="more", after=9),))])

    assert made.decide(context(view(2))) == ()


def test_no_layer_passes_the_bounds():
    greedy = LayeredController(BELOW, [Says((Verdict(artifact=SHOP.base, text="all of it", after=500),))])
    asked = context(view(2))

    (made,) = clamped(asked, greedy.decide(asked))

    assert made.after == 4
    assert rules(made)[:2] == ["bounds", "night-watch"]


def test_a_layer_stands_above_the_tree_in_a_running_cluster():
    freeze = Says((Verdict(artifact=SHOP.base, text="the freeze before the holidays"),))
    from aether.control.decision_tree import DecisionTreeController

    frozen = Played(lambda second: 3000, controller=LayeredController(DecisionTreeController(), [freeze])).run(120)

    assert frozen.counts == []
    assert rules(frozen.last)[0] == "night-watch"
    assert window(2, 300.0)[-1].at == EPOCH_S
