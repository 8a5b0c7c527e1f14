"""One run: nodes, clients, faults one after the other, healing, the last look at every key, the verdict.

Knows: in which order all that happens, and what each part may say against the cluster or against the harness.
Never: how a fault is done, how a history is judged.
Holds: a run is good only when clients were answered, every key has an order, and the cluster was well after each fault.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import trio

from aether.failpoints import PLACES
from aether.testing.linearizability import BadHistory, Operation, Outcome, Verdict, check, read_history
from aether.testing.linearizability.models import Model
from aether.testing.nemesis.client import HarnessError
from aether.testing.nemesis.cluster import WELL_S, ClusterPlan, NemesisCluster, NotWell, open_cluster
from aether.testing.nemesis.faults import FAULTS, PROXY_FAULTS, Fault, rng_of
from aether.testing.nemesis.namespaces import open_namespaces, privileged_faults, small_disks, why_not
from aether.testing.nemesis.schedule import Step, draw_schedule
from aether.testing.nemesis.workload import WorkloadPlan
from aether.testing.nemesis.workloads import WORKLOADS, Workload

WORKER_END_S = 30.0
LAST_LINES = 3
DRAWN_TIMES = 10
"""More faults are drawn than there is time for: a cluster may be well sooner than planned."""

OVERTIME = 3
ANSWERED_MIN = 0.2
"""Below this share of answered operations a run proves little, and says so."""


@attrs.frozen(kw_only=True)
class NemesisPlan:
    """workload  what clients do, of WORKLOADS; well_s  so soon after a fault all must be well

    workers  processes of clients; clients  per process; rate  operations per second of all together, 0 = unbounded
    in_namespaces  each node in a network namespace, on a small disk; else on loopback behind the faulty network
    faults   names to draw from; empty = all that are possible on this ground
    faults_min  up to OVERTIME times its seconds a run goes on until so many came: a slow machine proves as much
    """

    nodes: int = 3
    seconds: float = 60.0
    seed: int = 1
    workers: int = 1
    clients: int = 12
    rate: float = 300.0
    faults: Sequence[str] = ()
    faults_min: int = 0
    reads_locally: bool = False
    in_namespaces: bool = False
    workload: str = "registers"
    well_s: float = WELL_S


@attrs.frozen(kw_only=True)
class Suffered:
    """One step as it went. well_s  from its end until the cluster was well again"""

    step: Step
    words: str
    well_s: float


@attrs.define(kw_only=True)
class NemesisReport:
    """What a run found. `violations` are the cluster's, `harness` the harness's own; reached  places of failpoints"""

    plan: NemesisPlan
    verdict: Verdict | None = None
    outcomes: Counter[str] = attrs.field(factory=Counter[str])
    reached: set[str] = attrs.field(factory=set[str])
    suffered: list[Suffered] = attrs.field(factory=list[Suffered])
    violations: list[str] = attrs.field(factory=list[str])
    harness: list[str] = attrs.field(factory=list[str])

    @property
    def exit_code(self) -> int:
        """0 good, 1 the cluster broke a promise, 3 the harness failed and nothing is proven."""
        return 1 if self.violations else 3 if self.harness else 0

    def __str__(self) -> str:
        counts = ", ".join(f"{self.outcomes[outcome]} {outcome.value}" for outcome in Outcome)
        well = [s.well_s for s in self.suffered]
        kinds = Counter(fault for s in self.suffered for fault in s.step.faults)
        lines = [f"{self.outcomes.total()} operations: {counts}"]
        lines.append(
            f"{kinds.total()} faults of {len(kinds)} kinds; well again after at most {max(well, default=0):.1f} s"
        )
        if self.reached:
            missing = sorted({*PLACES} - self.reached)
            lines.append(
                f"{len(self.reached)} of {len(PLACES)} failpoints reached; not: {', '.join(missing) or 'none'}"
            )
        lines += [f"VIOLATION {v}" for v in self.violations] + [f"HARNESS {h}" for h in self.harness]
        if self.verdict is not None and self.verdict.is_linearizable:
            lines.append(str(self.verdict))
        return "\n".join(lines)


async def run_nemesis(plan: NemesisPlan, folder: Path, say: Callable[[str], None]) -> NemesisReport:
    """Run `plan` with everything that is written under `folder`. Raises nothing for what the cluster does wrong."""
    report = NemesisReport(plan=plan)
    logs = {f"node-{n + 1}": (folder / f"node-{n + 1}.log").open("a") for n in range(plan.nodes)}

    def log(node: str, line: str) -> None:
        logs[node].write(line + "\n")
        logs[node].flush()

    try:
        async with _ground(plan, folder, log) as (cluster, known):
            unknown = [name for name in plan.faults if name not in known]
            if unknown:
                raise HarnessError(f"no such faults here: {', '.join(unknown)}; there are {', '.join(known)}")
            cluster.well_s = plan.well_s
            workload = WORKLOADS[plan.workload]()
            await workload.prepare(cluster)
            await _Run(plan, cluster, folder, report, known, say, workload).disturb_and_look()
    except* NotWell as problem:
        report.violations.append(f"not well: {_leaf(problem)}")
    except* (HarnessError, BadHistory) as problem:
        report.harness.append(str(_leaf(problem)))
    finally:
        for file in logs.values():
            file.close()
    return report


def _leaf(error: BaseException) -> BaseException:
    """The first error of a group of groups."""
    while inner := getattr(error, "exceptions", ()):
        error = inner[0]
    return error


@asynccontextmanager
async def _ground(
    plan: NemesisPlan, folder: Path, log: Callable[[str, str], None]
) -> AsyncGenerator[tuple[NemesisCluster, dict[str, Fault]]]:
    """The cluster, and the faults that are possible where it stands. Raises HarnessError, NotWell."""
    ground = WORKLOADS[plan.workload]().ground(ClusterPlan(nodes=plan.nodes, folder=folder))
    if not plan.in_namespaces:
        async with open_cluster(ground, log) as cluster:
            yield cluster, dict(FAULTS)
        return
    if why_not():
        raise HarnessError(f"no network namespaces here: {why_not()}")
    names = [f"node-{n + 1}" for n in range(plan.nodes)]
    async with open_namespaces(names) as spaces, small_disks([folder / name for name in names]):
        async with open_cluster(attrs.evolve(ground, places=spaces.places), log) as cluster:
            cluster.cuts = spaces
            faults = {n: f for n, f in FAULTS.items() if n not in PROXY_FAULTS}
            yield cluster, faults | privileged_faults(spaces)


@attrs.frozen
class _Run:
    """What the steps of one run share."""

    plan: NemesisPlan
    cluster: NemesisCluster
    folder: Path
    report: NemesisReport
    faults: Mapping[str, Fault]
    say: Callable[[str], None]
    workload: Workload

    async def disturb_and_look(self) -> None:
        """Faults under load, then the last look and the verdict; a cluster that is not well any more is judged too."""
        histories = [self.folder / f"history-{n + 1}.jsonl" for n in range(self.plan.workers)]
        async with _workers(self.plan, self.workload, self.cluster, histories) as check_clients:
            is_well = await self._disturb(check_clients)
        self.cluster.note_ended()
        self.report.violations += self.cluster.ended
        self.report.reached.update(self.cluster.reached())
        history = [operation for path in histories for operation in read_history(path.read_text().splitlines())]
        if is_well:
            self.say(f"{len(history)} operations recorded; looking at every key once more")
            history += await self.workload.last_look(self.cluster, history)
            self.report.violations += await self.workload.wrong_rows(self.cluster, history)
        self.report.outcomes.update(o.outcome for o in history)
        judge(self.report, history, self.workload.model)

    async def _disturb(self, check_clients: Callable[[], None]) -> bool:
        """One fault after the other until the time is over; whether the cluster was well after each.

        check_clients  raises HarnessError when a process of clients has ended: nobody would be disturbed any more
        """
        plan, now = self.plan, trio.current_time()
        ends, ends_at_last = now + plan.seconds, now + OVERTIME * plan.seconds
        try:
            for step in draw_schedule(plan.seed, DRAWN_TIMES * plan.seconds, list(plan.faults or self.faults)):
                over = trio.current_time() + step.calm_s + step.lasts_s
                check_clients()
                if over > (ends if len(self.report.suffered) >= plan.faults_min else ends_at_last):
                    break
                suffered = await suffer(step, [self.faults[f] for f in step.faults], self.cluster, self.say)
                self.report.suffered.append(suffered)
            await trio.sleep_until(ends)
            await self.cluster.wait_well()
        except NotWell as problem:
            self.report.violations.append(f"not well: {problem}{self._last_words()}")
            return False
        return True

    def _last_words(self) -> str:
        """What nodes that do not run said last."""
        down = sorted({*self.cluster.nodes} - {*self.cluster.processes.running})
        logs = {node: (self.folder / f"{node}.log").read_text().splitlines() for node in down}
        return "".join(f"\n  {node}: {line}" for node, lines in logs.items() for line in lines[-LAST_LINES:])


def judge(report: NemesisReport, history: Sequence[Operation], model: Model | None = None) -> None:
    """The verdict on `history`, and whether it proves anything."""
    report.verdict = check(history, model)
    report.violations += [f"not linearizable: {v}" for v in report.verdict.violations]
    report.violations += [f"not linearizable: key {key!r}" for key in report.verdict.further]
    report.harness += [str(u) for u in report.verdict.undecided]
    answered = report.outcomes[Outcome.OK] / max(1, report.outcomes.total())
    if answered < ANSWERED_MIN:
        report.harness.append(f"only {answered:.0%} of all operations were answered; the run proves little")


async def suffer(step: Step, faults: Sequence[Fault], cluster: NemesisCluster, say: Callable[[str], None]) -> Suffered:
    """The faults of one step, from calm to well again. Raises NotWell when the cluster does not get well."""
    await trio.sleep(step.calm_s)
    cluster.note_ended()
    async with AsyncExitStack() as stack:
        words = [await stack.enter_async_context(f(cluster, rng_of(step, n))) for n, f in enumerate(faults)]
        await trio.sleep(step.lasts_s)
    well_s = await cluster.wait_well()
    say(f"{step}: {'; '.join(words)}; well again after {well_s:.1f} s")
    return Suffered(step=step, words="; ".join(words), well_s=well_s)


@asynccontextmanager
async def _workers(
    plan: NemesisPlan, workload: Workload, cluster: NemesisCluster, histories: Sequence[Path]
) -> AsyncGenerator[Callable[[], None]]:
    """Client processes, running while the block does; gives what raises HarnessError when one has ended by itself.

    Raises HarnessError when one of them does not end well.
    """
    began = time.monotonic()
    tokens = {node: cluster.token(node) for node in cluster.nodes}
    processes: list[trio.Process] = []
    codes: list[int] = []
    for number, path in enumerate(histories):
        work = WorkloadPlan(
            name=f"w{number + 1}",
            seed=plan.seed,
            clients=plan.clients,
            rate=plan.rate / len(histories),
            began=began,
            history=str(path),
            urls=dict(workload.urls(cluster)),
            tokens=tokens,
            reads_locally=plan.reads_locally,
        )
        path.touch()
        line = [sys.executable, "-m", workload.module, json.dumps(attrs.asdict(work))]
        errors = path.with_suffix(".err").open("w")
        processes.append(await trio.lowlevel.open_process(line, stdin=subprocess.DEVNULL, stderr=errors))
        errors.close()

    def check_clients() -> None:
        for path, process in zip(histories, processes, strict=True):
            if process.poll() is not None:
                raise HarnessError(f"clients ended: {path.with_suffix('.err').read_text()[-2_000:]}")

    try:
        yield check_clients
    finally:
        with trio.CancelScope(shield=True):
            codes += [await _end(process) for process in processes]
    for path, code in zip(histories, codes, strict=True):
        if code != 0:
            said = path.with_suffix(".err").read_text()[-2_000:]
            raise HarnessError(f"clients ended with {code} after {time.monotonic() - began:.0f} s: {said}")


async def _end(process: trio.Process) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with trio.move_on_after(WORKER_END_S):
        return await process.wait()
    process.kill()
    await process.wait()
    return -signal.SIGKILL
