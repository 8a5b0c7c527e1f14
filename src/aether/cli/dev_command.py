"""`aether dev`: the user's own module as a cluster on this machine, with one log.

Knows: processes, free ports, the URLs to print.
Never: what the module does.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import click
import httpx
import tomli
import trio

from aether.cli.applications import load_slices
from aether.cli.exits import CommandFailed, Exit
from aether.cli.output import table
from aether.cli.terminal import ended_by_signals, node_log, styled
from aether.forge.console import Console
from aether.forge.processes import LocalPlan, LocalProcesses, open_processes
from aether.slice_api.contract import contract_of

READY_S = 60.0
REQUEST_S = 30.0
ACTIVE_S = 60.0
WATCH_S = 0.2


@click.command()
@click.argument("apps", nargs=-1, required=True, metavar="MODULE[:ATTR]...")
@click.option("--nodes", type=int, default=1, show_default=True, help="How many processes.")
@click.option(
    "--app-dir", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where modules are found [.]."
)
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Keep state here [a temporary folder]."
)
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="What slices read through aether.config.")
def dev(apps: tuple[str, ...], nodes: int, app_dir: Path, data_dir: Path | None, values: tuple[str, ...]) -> None:
    """Run your own module as a cluster of processes on this machine, on free ports, until Ctrl-C."""
    slices = load_slices(apps, app_dir)
    blueprint = "\n".join(
        ['id = "app:1.0.0"']
        + [
            f'[[slices]]\nartifact = "{c.artifact}"\ninstances = {c.options.instances}'
            for c in map(contract_of, slices)
        ]
    )
    settings = dict(_pair(value) for value in values)
    with ExitStack() as stack:
        folder = data_dir or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="aether-dev-", ignore_cleanup_errors=True))
        )
        plan = LocalPlan(nodes=nodes, apps=apps, app_dir=app_dir.resolve(), folder=folder.resolve(), settings=settings)
        plan.check()
        trio.run(_run, plan, blueprint)


def _pair(value: str) -> tuple[str, str]:
    name, equals, text = value.partition("=")
    if not equals:
        raise CommandFailed(Exit.USAGE, f"--set {value}: write NAME=VALUE")
    return name, text


async def _run(plan: LocalPlan, blueprint: str) -> None:
    log = node_log([f"node-{n + 1}" for n in range(plan.nodes)])
    client = httpx.AsyncClient(timeout=REQUEST_S, trust_env=False)
    async with ended_by_signals(), open_processes(plan, log) as processes, client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(processes.watch)  # half a start would only confuse
            await _deploy(processes, client, blueprint)
            _say_where(processes)
            nursery.cancel_scope.cancel()
        await _outlive(processes)


async def _outlive(processes: LocalProcesses) -> None:
    """Say which node ended, and go on: who kills a node wants to see the others take over. Ends with the last one."""
    known = set(processes.ports)
    while known:
        for node in sorted(known - set(processes.running)):
            known.discard(node)
            rest = ", ".join(sorted(known)) or "none"
            text = f"{node} ended with exit code {processes.exit_code(node)}; still running: {rest}"
            click.echo(styled(text, bold=True))
        await trio.sleep(WATCH_S)
    raise CommandFailed(Exit.FAILED, "no node is left")


async def _deploy(processes: LocalProcesses, client: httpx.AsyncClient, blueprint: str) -> None:
    def token(node: str) -> str:
        return (processes.directory(node) / "admin-token").read_text().strip()

    console = Console(client, {n: p.management_url for n, p in processes.ports.items()}, token)
    for node in processes.ports:
        await console.wait_ready(node, READY_S)
    first = next(iter(processes.ports))
    await console.post(first, "/blueprint", text=blueprint)
    problem = await _settled(
        console, first, {each["artifact"]: each["instances"] for each in tomli.loads(blueprint)["slices"]}
    )
    if problem:
        click.echo(styled(f"not everything is ACTIVE: {problem}", bold=True))


async def _settled(console: Console, node: str, wanted: Mapping[str, int]) -> str:
    """Wait until all is ACTIVE, or one FAILED or waits for another; what is wrong, "" when nothing is."""
    active = Counter[str]()
    with trio.move_on_after(ACTIVE_S):
        while True:
            instances = await console.instances(node)
            stuck = [i for i in instances if i["reason"] and i["state"] in ("FAILED", "ACTIVATING")]
            if stuck:
                return "; ".join(sorted({f"{i['artifact']} is {i['state']}: {i['reason']}" for i in stuck}))
            active = Counter(i["artifact"] for i in instances if i["state"] == "ACTIVE")
            if all(active[artifact] >= count for artifact, count in wanted.items()):
                return ""
            await trio.sleep(WATCH_S)
    return f"after {ACTIVE_S:g} s only {sum(active.values())} of {sum(wanted.values())} instances are"


def _say_where(processes: LocalProcesses) -> None:
    rows = [
        {"node": p.node, "http": p.http_url, "management": p.management_url, "process": processes.process_id(p.node)}
        for p in processes.ports.values()
    ]
    first = next(iter(processes.ports.values()))
    click.echo()
    click.echo(table(rows, ["node", "http", "management", "process"]))
    click.echo(f"\n  curl {first.http_url}/...    any node serves any route")
    click.echo(f"  aether -c 127.0.0.1:{first.management} slices\n\nCtrl-C ends all of them.\n")
