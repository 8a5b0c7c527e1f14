"""`aether demo`: the main job on this machine, with a table at the end.

Knows: the demo's options, how its result reads.
Never: the steps (forge.demo).
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import click
import trio

from aether.cli.exits import CommandFailed, Exit
from aether.cli.output import plain_table, table
from aether.cli.terminal import ProgressLines, ended_by_signals
from aether.forge.demo import Demo, DemoPlan, DemoResult, Placement, Victim, audit_text, open_demo
from aether.forge.load import OrderOutcome, percentile
from aether.node.throwaway_authority import CLUSTER, make_throwaway

HELD_TOLD_S = 0.1


@click.command()
@click.option("--nodes", type=int, default=3, show_default=True, help="How many processes.")
@click.option("--rate", type=float, default=100.0, show_default=True, help="Orders per second.")
@click.option("--seconds", type=float, default=20.0, show_default=True, help="How long orders are sent.")
@click.option(
    "--kill", type=click.Choice(get_args(Victim)), default="follower", show_default=True, help="Whom SIGKILL hits."
)
@click.option("--keep", is_flag=True, help="Leave the cluster up and print its URLs; Ctrl-C ends it.")
@click.option("--tls", is_flag=True, help="Every port speaks TLS, with certificates made for this run alone.")
@click.option("-v", "--verbose", is_flag=True, help="Show what the nodes log.")
def demo(nodes: int, rate: float, seconds: float, kill: Victim, keep: bool, tls: bool, verbose: bool) -> None:
    """Take orders on three nodes, kill one, and audit the survivors.

    Exit code 0 when no order failed, every node's replicated state agrees with what clients were told, and the
    cluster healed within 5 seconds; else 1.
    """
    plan = DemoPlan(nodes=nodes, rate=rate, seconds=seconds, kill=kill)
    plan.check()
    result = trio.run(_run, plan, keep, tls, ProgressLines(verbose=verbose))
    if result.problems:
        raise CommandFailed(Exit.FAILED, "\n  ".join(["the demo did not succeed:", *result.problems]))


async def _run(plan: DemoPlan, keep: bool, tls: bool, display: ProgressLines) -> DemoResult:
    with tempfile.TemporaryDirectory(prefix="aether-demo-", ignore_cleanup_errors=True) as folder:
        secured: dict[str, Any] = {}
        if tls:
            names = [f"node-{n + 1}" for n in range(plan.nodes)]
            authority = make_throwaway(Path(folder) / "tls", CLUSTER, names)
            secured["tls"] = {name: authority.directory(name) for name in names}
            secured |= {"ca_key": authority.key, "context": authority.client_context()}
            secured["arguments"] = ("--cluster", CLUSTER)
        async with ended_by_signals(), open_demo(plan, Path(folder), display, **secured) as running:
            result = await running.run()
            for text in report(result):
                click.echo(text)
            if keep:
                await _keep(running)
    return result


async def _keep(running: Demo) -> None:
    click.echo("\nThe cluster stays up until Ctrl-C:")
    rows = [
        {
            "node": p.node,
            "http": p.http_url,
            "management": p.management_url,
            "data": str(running.processes.directory(p.node)),
        }
        for p in running.processes.ports.values()
    ]
    click.echo(table(rows, ["node", "http", "management", "data"]))
    first = rows[0]
    click.echo(f"\n  aether -c {first['management'].partition('://')[2]} slices")
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            return  # the demo ran; how it went decides the exit code


def report(result: DemoResult) -> Iterable[str]:
    """The table at the end, as paragraphs of text."""
    yield ""
    yield _orders(result)
    yield ""
    yield _latencies(result)
    yield ""
    yield _placements(result)
    yield ""
    for each in result.audits:
        yield f"audit of {each.node}: {'clean' if each.clean else 'NOT CLEAN'}: {audit_text(each)}"
    if result.held_s > HELD_TOLD_S:
        yield f"the cluster was behind: sending waited {result.held_s:.1f} s in all, so the rate was not kept"
    if result.disturbance is not None:
        hit = result.disturbance
        role = "leader" if hit.was_leader else "follower"
        yield f"killed {hit.node} ({role}) with {hit.in_flight} orders in flight; time to heal {hit.heal_s:.2f} s"
    yield "success" if not result.problems else "FAILED"


def _orders(result: DemoResult) -> str:
    outcomes = result.outcomes
    counts = [
        len(outcomes),
        sum(o.placed for o in outcomes),
        sum(o.refused for o in outcomes),
        sum(o.repeats > 0 for o in outcomes),
        sum(o.failed for o in outcomes),
    ]
    return plain_table(
        ["ORDERS SENT", "PLACED", "REFUSED (BUSINESS)", "REPEATED BY CLIENT", "FAILED"], [[str(c) for c in counts]]
    )


def _latencies(result: DemoResult) -> str:
    rows = [[name, str(len(part)), _ms(part, 0.5), _ms(part, 0.99)] for name, part in _phases(result) if part]
    return plain_table(["PHASE", "ORDERS", "P50 MS", "P99 MS"], rows)


def _phases(result: DemoResult) -> list[tuple[str, Sequence[OrderOutcome]]]:
    hit = result.disturbance
    if hit is None:
        return [("whole run", result.outcomes)]
    healed = hit.killed_s + min(hit.heal_s, result.plan.seconds)
    before = [o for o in result.outcomes if o.sent_s + o.latency_s < hit.killed_s]
    after = [o for o in result.outcomes if o.sent_s > healed]
    chosen = {id(o) for o in (*before, *after)}
    return [("before", before), ("during", [o for o in result.outcomes if id(o) not in chosen]), ("after", after)]


def _ms(outcomes: Sequence[OrderOutcome], share: float) -> str:
    return f"{1000 * percentile([o.latency_s for o in outcomes], share):.1f}"


def _placements(result: DemoResult) -> str:
    columns = {"before": result.before}
    if result.disturbance is not None:
        columns["healed"] = result.disturbance.placement_during
    columns["after"] = result.after
    artifacts = sorted({artifact for placement in columns.values() for artifact, _, _ in placement})
    rows = [[a.split(":")[1], *(_where(placement, a) for placement in columns.values())] for a in artifacts]
    return plain_table(["SLICE", *(f"RAN ON, {name.upper()}" for name in columns)], rows)


def _where(placement: Placement, artifact: str) -> str:
    return " ".join(node for each, node, state in placement if each == artifact and state == "ACTIVE") or "-"
