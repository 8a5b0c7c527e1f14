"""A controller of a third party that raises, hangs or answers nonsense is replaced by the tree, and told once."""

import logging
import threading

import attrs
import pytest
import trio
from tests.control.played import SHOP, context, rules, view, window

from aether.control.decision_tree import DecisionTreeController
from aether.control.decisions import Decision
from aether.control.supervision_service import Supervised, checked, controller_name
from aether.model.decision import Reason
from aether.work import AbandoningWork, InlineWork

ASKED = context(view(2, window(2, 3000.0)))
MINE = Decision(artifact=SHOP.base, before=2, after=3, reasons=(Reason(rule="mine", text="three"),))


@attrs.define
class Controller:
    """Does what it holds, one thing after the other; the last one for ever."""

    turns: list
    name: str = "mine"
    asked: int = 0

    def decide(self, context):
        self.asked += 1
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        if isinstance(turn, Exception):
            raise turn
        return turn


class HangingWork:
    """Starts what it is given in a thread, and never says that it has ended."""

    async def run(self, function, *args):
        threading.Thread(target=function, args=args, daemon=True).start()
        await trio.sleep_forever()


class Hanging:
    """A controller that is in `decide` until it is let go."""

    name = "mine"

    def __init__(self):
        self.begun, self.let_go = threading.Event(), threading.Event()

    def decide(self, context):
        self.begun.set()
        self.let_go.wait(30)
        return (MINE,)


async def test_what_a_controller_decides_is_heard(autojump_clock):
    decided = await Supervised(Controller([(MINE,)]), InlineWork()).decide(ASKED)

    assert (decided.decisions, decided.by, decided.problem) == ((MINE,), "mine", "")


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (RuntimeError("no model"), "mine failed: RuntimeError: no model"),
        (None, "failed: TypeError"),
        (["up"], "is no Decision"),
        ([attrs.evolve(MINE, artifact="shop:orders")], "has a field of the wrong type"),
        ([attrs.evolve(MINE, confidence="high")], "has a field of the wrong type"),
        ([attrs.evolve(MINE, reasons=(Reason(rule="r", text="t", count=2.5),))], "has a field of the wrong type"),
        ([attrs.evolve(MINE, reasons=(Reason(rule="r", text="t", value=True),))], "has a field of the wrong type"),
        ([attrs.evolve(MINE, reasons=("because",))], "has a field of the wrong type"),
    ],
)
async def test_the_tree_takes_over_from_what_raises_or_answers_nonsense(autojump_clock, turn, words):
    decided = await Supervised(Controller([turn]), InlineWork()).decide(ASKED)

    assert decided.by == "decision_tree"
    assert words in decided.problem
    assert "cpu" in rules(decided.decisions[0])


async def test_the_tree_takes_over_from_what_hangs_within_the_deadline(autojump_clock):
    """It is left alone, and not asked again before it has ended."""
    controller = Hanging()
    supervised = Supervised(controller, HangingWork(), decide_s=2.0)
    began = trio.current_time()

    first = await supervised.decide(ASKED)
    assert trio.current_time() - began == 2.0
    assert "did not answer within 2 s" in first.problem
    assert controller.begun.wait(30)

    second = await supervised.decide(ASKED)
    assert trio.current_time() - began == 2.0
    assert "has not answered an earlier question yet" in second.problem
    controller.let_go.set()


async def test_a_question_that_never_reached_the_controller_does_not_silence_it_for_ever(autojump_clock):
    """Its turn did not come in time: another controller, since replaced, still held the only thread."""
    delays = [9.0, 0.0]
    supervised = Supervised(Controller([(MINE,)]), InlineWork(lambda: delays.pop(0)), decide_s=2.0)

    assert "did not answer within 2 s" in (await supervised.decide(ASKED)).problem
    assert (await supervised.decide(ASKED)).decisions == (MINE,)


async def test_a_question_that_begins_when_nobody_waits_any_more_is_not_put(autojump_clock):
    put = []

    class Late:
        async def run(self, function, *args):
            put.append((function, args))
            await trio.sleep_forever()

    controller = Controller([(MINE,)])
    await Supervised(controller, Late()).decide(ASKED)
    ((function, args),) = put
    function(*args)

    assert controller.asked == 0


async def test_a_failure_is_told_once_until_it_goes_well_again(autojump_clock, caplog):
    caplog.set_level(logging.INFO, "aether.control")
    bad = RuntimeError("no")
    supervised = Supervised(Controller([bad, bad, bad, (MINE,), bad]), InlineWork())
    for _ in range(5):
        await supervised.decide(ASKED)

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]


async def test_work_that_is_left_alone_goes_on_in_its_thread_and_holds_nobody_up():
    """A real thread: the deadline is not its own."""
    let_go = trio.Event()
    ended = []

    def endless():
        trio.from_thread.run(let_go.wait)
        ended.append(True)

    work = AbandoningWork()
    with trio.move_on_after(0.01) as scope:
        await work.run(endless)
    assert scope.cancelled_caught
    assert ended == []
    let_go.set()
    with trio.fail_after(5):
        assert await work.run(lambda: "next") == "next"


async def test_the_tree_itself_is_asked_right_here():
    decided = await Supervised(DecisionTreeController(), HangingWork()).decide(ASKED)

    assert (decided.by, decided.problem) == ("decision_tree", "")


def test_a_controller_without_a_name_is_called_like_its_class():
    assert controller_name(object()) == "object"
    assert checked([MINE]) == (MINE,)
