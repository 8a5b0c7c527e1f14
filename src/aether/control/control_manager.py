"""The control loop: look at figures and rows, let the controller decide, write fenced batches.

Knows: the interval, the fence, whose word the settings are.
Never: decides (controllers do); places instances.
Holds: every node gathers figures, so that a new leader has windows; only the leader decides, and a deposed one's batch
       is refused; a count, its override and the entry of the journal are one batch.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import attrs
import trio

from aether.control import journal, spelling
from aether.control.bounds import clamped
from aether.control.context import ControlContext, RecentEvent, SliceView
from aether.control.decision_tree import DecisionTreeController
from aether.control.decisions import ClusterController, Decision
from aether.control.evaluation import Evaluation
from aether.control.figures import SliceFigures, newest
from aether.control.gathering import gathered
from aether.control.recording import needed_s
from aether.control.row_sight import RowSight
from aether.control.settings import ControllerSettings
from aether.control.sight import Rows, has_range, node_views, slice_views
from aether.control.supervision_service import Supervised
from aether.errors import AetherError, BadInput, NotLeader, TryAgain
from aether.kv import keys
from aether.kv.commands import Batch
from aether.kv.service import KvService
from aether.metrics.figures import ClusterFigures
from aether.metrics.methods import CallFigures
from aether.model.artifact import ArtifactBase
from aether.model.ids import Incarnation, NodeId
from aether.model.limits import CONTROL_RECORDED_MAX, CONTROL_SAMPLES_MAX, CONTROLLER_LOAD_S
from aether.model.rows import DesiredRow, LeadershipRow
from aether.work import Work

_log = logging.getLogger("aether.control")

_CLEANED_EVERY = 100  # evaluations
DONE = "done"
SHADOW = "shadow"
SAID_BEFORE = "said before"


@attrs.define(eq=False)
class _Asked:
    """Somebody who waits for an evaluation. acts  it may change something"""

    acts: bool
    over: trio.Event = attrs.field(factory=trio.Event)
    evaluation: Evaluation | None = None
    problem: str = ""


class ControlLoop:
    """Runs on every node, and decides while `kv.leadership` is this node's.

    figures, calls  of the whole cluster, from memory; live  the members that answer, this node included
    wall      wall-clock seconds
    room      how many instances of a row the members can hold; None = nothing limits it
    base      settings of this node's file, below what is set at run time
    make      the controller of a name; raises AetherError when there is none
    work      where controllers of third parties run: cancelled calls are left alone
    events    the newest of the cluster
    """

    def __init__(
        self,
        node: NodeId,
        kv: KvService,
        figures: ClusterFigures,
        calls: CallFigures,
        live: Callable[[], Mapping[NodeId, Incarnation]],
        *,
        wall: Callable[[], float],
        room: Callable[[DesiredRow], int | None],
        base: ControllerSettings,
        make: Callable[[str], ClusterController],
        work: Work,
        events: Callable[[], Sequence[RecentEvent]] = tuple,
    ) -> None:
        self._node = node
        self._kv = kv
        self._figures = figures
        self._calls = calls
        self._wall = wall
        self._room = room
        self._base = base
        self._make = make
        self._work = work
        self._events = events
        self._sight = RowSight(kv, live)
        self._windows: dict[ArtifactBase, deque[SliceFigures]] = {}
        self._recorded: deque[Evaluation] = deque(maxlen=CONTROL_RECORDED_MAX)
        self._fence: LeadershipRow | None = None
        self._led_since = 0.0
        self._supervised = Supervised(DecisionTreeController(), work)
        self._wanted: str = DecisionTreeController.name
        self._unloaded = ""
        self._setting: tuple[str, ControllerSettings] = ("", base)
        self._asked: list[_Asked] = []
        self._woken = trio.Event()
        self._problem = ""
        self._count = 0

    # --- what others ask ---

    @property
    def settings(self) -> ControllerSettings:
        """In force on this node: what is set at run time above the file."""
        row = self._kv.get(keys.setting(spelling.SETTING))
        text = "" if row is None else row.value
        if text != self._setting[0]:
            self._setting = (text, self._read(text))
        return self._setting[1]

    @property
    def base(self) -> ControllerSettings:
        """Those of this node's file."""
        return self._base

    @property
    def leader_since(self) -> float:
        """Since when this node leads, in wall-clock seconds; 0 = it does not."""
        return self._led_since if self._fence is not None else 0.0

    @property
    def evaluations(self) -> Sequence[Evaluation]:
        """Those of this leadership, oldest first; at most CONTROL_RECORDED_MAX."""
        return tuple(self._recorded)

    async def evaluate(self, *, acts: bool = True) -> Evaluation:
        """Look now. acts  False: say what would be done. Raises TryAgain. Cancelled, it may be done all the same."""
        asked = _Asked(acts)
        self._asked.append(asked)
        self._woken.set()
        await asked.over.wait()
        if asked.problem:
            raise TryAgain(asked.problem)
        if asked.evaluation is None:
            raise NotLeader(self._node, None)
        return asked.evaluation

    # --- the loop ---

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled. Raises only what is a bug."""
        async with (
            self._kv.watch(keys.setting(spelling.SETTING).text, keys.leadership.text) as watch,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._forward, watch.changed)
            task_status.started()
            acted_at = -math.inf
            while True:
                self._woken = woken = trio.Event()
                asked, self._asked = self._asked, []
                rehearsals = [each for each in asked if not each.acts]
                if rehearsals:
                    await self._look(rehearsals, acts=False)
                is_due = trio.current_time() >= acted_at + self.settings.interval_s
                if is_due or len(rehearsals) < len(asked) or not asked:
                    await self._look([each for each in asked if each.acts], acts=True)
                    acted_at = trio.current_time()
                with trio.move_on_at(acted_at + self.settings.interval_s):
                    if not self._asked:
                        await woken.wait()

    async def _forward(self, changed: Callable[[], Any]) -> NoReturn:
        while True:
            await changed()
            self._woken.set()

    async def _look(self, asked: Sequence[_Asked], *, acts: bool) -> None:
        """One turn, and its outcome for those who asked. What goes wrong is said once, until it goes well again."""
        evaluation, problem = None, ""
        try:
            evaluation = await self._turn(acts=acts)
        except AetherError as error:
            problem = f"nothing is decided: {error}"
        if problem and problem != self._problem:
            _log.warning("%s", problem)
        self._problem = problem
        for each in asked:
            each.evaluation, each.problem = evaluation, problem
            each.over.set()

    async def _turn(self, *, acts: bool) -> Evaluation | None:
        """Look, decide, write. None where this node does not lead."""
        rows, now, settings = self._sight.rows(), self._wall(), self.settings
        self._sample(rows, now, settings)
        fence = self._follow(self._kv.leadership, now)
        if fence is None:
            return None
        context = self._context(rows, now, settings)
        decided = await (await self._controller(settings.controller)).decide(context)
        decisions = clamped(context, decided.decisions)
        problem = decided.problem or self._unloaded
        evaluation = Evaluation(context=context, decisions=decisions, by=decided.by, problem=problem)
        if acts:
            evaluation = attrs.evolve(evaluation, done=await self._act(fence, rows, evaluation))
            await self._keep(fence, rows, evaluation)
        if context.slices:
            self._recorded.append(evaluation)
        return evaluation

    def _sample(self, rows: Rows, now: float, settings: ControllerSettings) -> None:
        ranged = {row.artifact.base for row in rows.desired if has_range(row)}
        if not ranged:
            self._windows.clear()
            return
        found = gathered(now, rows.running(), self._figures, self._calls.methods())
        for base in self._windows.keys() - ranged:
            del self._windows[base]
        for base in ranged:
            window = self._windows.setdefault(base, deque(maxlen=CONTROL_SAMPLES_MAX))
            while window and (window[-1].at >= now or window[0].at < now - needed_s(settings.of(base)) - 1.0):
                window.pop() if window[-1].at >= now else window.popleft()  # the first: the clock went back
            if not window or now - window[-1].at >= settings.interval_s / 2:  # who asks often does not fill the window
                window.append(found[base])

    def _follow(self, fence: LeadershipRow | None, now: float) -> LeadershipRow | None:
        if fence != self._fence:
            self._fence, self._led_since = fence, now
            self._recorded.clear()
        self._led_since = min(self._led_since, now)  # the clock may go back
        return fence

    def _context(self, rows: Rows, now: float, settings: ControllerSettings) -> ControlContext:
        windows = {
            base: newest(tuple(window), now, needed_s(settings.of(base))) for base, window in self._windows.items()
        }
        return ControlContext(
            now=now,
            leader=self._node,
            leader_since=self._led_since,
            slices=slice_views(rows, now, settings, windows, self._room),
            nodes=node_views(rows, self._figures),
            events=tuple(self._events()),
        )

    async def _controller(self, name: str) -> Supervised:
        """The one that the settings want; the tree, said once, when there is no such.

        Code of a third party is imported and made where it may block, and given up after CONTROLLER_LOAD_S.
        """
        if name != self._wanted:
            self._wanted, self._unloaded = name, f"the controller {name} is not there within {CONTROLLER_LOAD_S:g} s"
            controller: ClusterController = DecisionTreeController()
            with trio.move_on_after(CONTROLLER_LOAD_S):
                try:
                    controller = await self._work.run(self._make, name)
                    self._unloaded = ""
                except AetherError as error:
                    self._unloaded = f"the controller {name} cannot be loaded: {error}"
            if self._unloaded:
                _log.warning("%s; the decision tree decides until the setting changes", self._unloaded)
            self._supervised = Supervised(controller, self._work)
        return self._supervised

    def _read(self, text: str) -> ControllerSettings:
        """What is set at run time, above this node's file; the file alone when both together make no sense."""
        if not text:
            return self._base
        try:
            return spelling.from_text(self._base, text)
        except BadInput as error:
            _log.warning("%s; those of the settings file hold", error)
            return self._base

    # --- writing ---

    async def _act(self, fence: LeadershipRow, rows: Rows, evaluation: Evaluation) -> dict[ArtifactBase, str]:
        desired = {row.artifact.base: row for row in rows.desired}
        done: dict[ArtifactBase, str] = {}
        for decision in evaluation.decisions:
            view = evaluation.context.slice(decision.artifact)
            if view is not None and decision.changes_something:
                done[view.base] = await self._carry_out(fence, desired[view.base], view, decision, evaluation)
        return done

    async def _carry_out(
        self, fence: LeadershipRow, row: DesiredRow, view: SliceView, decision: Decision, evaluation: Evaluation
    ) -> str:
        shadow = view.settings.shadow
        made = journal.entry(evaluation.context, view, decision, evaluation.by, shadow=shadow)
        if not journal.is_news(view, made):
            return SAID_BEFORE
        if not self._sight.stands(view.base):
            return "its rows changed meanwhile"
        failed = await self._write(fence, journal.acting(row, view, made, self._kv.version))
        if not failed:
            why = decision.reasons[0].text if decision.reasons else "no reason given"
            word = " in shadow" if shadow else ""
            _log.info("%s: %d to %d%s, by %s: %s", view.base, made.before, made.after, word, made.controller, why)
        return failed or (SHADOW if shadow else DONE)

    async def _keep(self, fence: LeadershipRow, rows: Rows, evaluation: Evaluation) -> None:
        """Say counts again before their time is over; forget the journal of what is long gone."""
        now = evaluation.context.now
        for view in evaluation.context.slices:
            batch = journal.renewal(view, now, self._kv.version) if view.settings.enabled else None
            if batch is not None and view.base not in evaluation.done:
                await self._write(fence, batch)
        if self._count % _CLEANED_EVERY == 0:
            gone = journal.left_behind(rows.decisions, (row.artifact.base for row in rows.desired), now)
            if gone:
                await self._write(fence, Batch((), tuple(gone[:_CLEANED_EVERY])))
        self._count += 1

    async def _write(self, fence: LeadershipRow, batch: Batch) -> str:
        """ "" when it is written, else why not: the next look decides again."""
        try:
            result = await self._kv.propose(batch, fence=fence)
        except AetherError as error:
            _log.info("a decision is not written: %s", error)
            return str(error)
        return "" if result.applied else f"{result.conflict} changed meanwhile"
