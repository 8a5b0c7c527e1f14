"""A controller of somebody else, kept from stopping the loop: the decision tree takes over.

Knows: how long an answer may take, what an answer looks like.
Never: decides; which controller is wanted.
Holds: there is an answer within DECIDE_S; a call that hangs is left alone, and none is made before it has ended; what
       went wrong is logged once, until it goes well again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import cast

import attrs
import trio

from aether.control.bounds import storable
from aether.control.context import ControlContext
from aether.control.decision_tree import DecisionTreeController
from aether.control.decisions import ClusterController, Decision
from aether.model.artifact import ArtifactBase
from aether.model.decision import Reason
from aether.model.limits import DECIDE_S
from aether.work import Work

_log = logging.getLogger("aether.control")
_TREE = DecisionTreeController()
_SLICES_PER_STEP = 8


@attrs.frozen
class Decided:
    """by  who decided; problem  why it was the tree, "" = as wanted"""

    decisions: tuple[Decision, ...]
    by: str
    problem: str = ""


@attrs.define(eq=False)
class _Question:
    """is_over  nobody waits for the answer: it may not have begun, when the thread was not free in time"""

    context: ControlContext
    is_over: bool = False


class Supervised:
    """Asks `controller` through `work`, whose cancelled calls nobody waits for; the tree itself is asked right here."""

    def __init__(self, controller: ClusterController, work: Work, *, decide_s: float = DECIDE_S) -> None:
        self._controller = controller
        self._work = work
        self._decide_s = decide_s
        self._at_work = False
        self._problem = ""
        self.name: str = controller_name(controller)

    async def decide(self, context: ControlContext) -> Decided:
        """Of `controller`, or of the tree and why. Cancelled, nothing happens."""
        if type(self._controller) is DecisionTreeController:
            return Decided(await _of_tree(context), _TREE.name)
        decisions, problem = await self._ask(context)
        self._say(problem)
        if decisions is None:
            return Decided(await _of_tree(context), _TREE.name, f"{self.name} {problem}")
        return Decided(decisions, self.name)

    async def _ask(self, context: ControlContext) -> tuple[tuple[Decision, ...] | None, str]:
        if self._at_work:
            return None, "has not answered an earlier question yet"
        question = _Question(context)
        try:
            with trio.move_on_after(self._decide_s):
                return await self._work.run(self._call, question), ""
        except Exception as error:  # noqa: BLE001 - code of a third party may raise anything; the tree decides instead
            return None, f"failed: {type(error).__name__}: {error}"[:300]
        finally:
            question.is_over = True
        return None, f"did not answer within {self._decide_s:g} s"

    def _call(self, question: _Question) -> tuple[Decision, ...]:
        """In a thread of its own; a flag that one thread sets and another reads needs no lock."""
        if question.is_over:
            return ()
        self._at_work = True
        try:
            return checked(self._controller.decide(question.context))
        finally:
            self._at_work = False

    def _say(self, problem: str) -> None:
        if problem and not self._problem:
            _log.warning("the controller %s %s; the decision tree decides until it does", self.name, problem)
        elif self._problem and not problem:
            _log.info("the controller %s decides again", self.name)
        self._problem = problem


async def _of_tree(context: ControlContext) -> tuple[Decision, ...]:
    """Slice by slice, since each is decided by itself: many of them do not hold up the loop of the node."""
    decisions: list[Decision] = []
    for number, view in enumerate(context.slices, 1):
        decisions += _TREE.decide(attrs.evolve(context, slices=(view,)))
        if number % _SLICES_PER_STEP == 0:
            await trio.lowlevel.checkpoint()
    return tuple(decisions)


def controller_name(controller: ClusterController) -> str:
    """How a controller calls itself: its `name`, else that of its class."""
    name = getattr(controller, "name", "")
    return storable(name, 80) if isinstance(name, str) and name else type(controller).__name__


def checked(answer: Sequence[Decision]) -> tuple[Decision, ...]:
    """`answer`, when it is made of decisions with their fields. Raises TypeError."""
    decisions = tuple(cast("Sequence[object]", answer))
    for each in decisions:
        if not isinstance(each, Decision):
            raise TypeError(f"{each!r:.80} is no Decision")
        of_types = ((each.artifact, (ArtifactBase,)), (each.confidence, (int, float)))
        if not _fit(of_types) or not all(_is_reason(reason) for reason in tuple(each.reasons)):
            raise TypeError(f"{each!r:.80} has a field of the wrong type")
    return cast("tuple[Decision, ...]", decisions)


def _is_reason(value: object) -> bool:
    if not isinstance(value, Reason):
        return False
    texts = ((each, (str,)) for each in (value.rule, value.text, value.signal))
    numbers = ((each, (int, float)) for each in (value.value, value.threshold, value.window_s))
    return _fit((*texts, *numbers, (value.count, (int,))))


def _fit(of_types: Iterable[tuple[object, tuple[type, ...]]]) -> bool:
    """Exactly these types: what is kept in a row is read back strictly, by every node."""
    return all(type(value) in kinds for value, kinds in of_types)
