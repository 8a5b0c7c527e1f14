"""`aether dev`: the user's own module as a cluster on this machine, with one log.

Knows: processes, which ports they should have, the URLs to print.
Never: what the module does.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import attrs
import click
import httpx
import tomli
import trio

from aether.cli.applications import blueprint_text, describe
from aether.cli.exits import CommandFailed, Exit, leaves
from aether.cli.options import settings
from aether.cli.output import table
from aether.cli.reloading import PLAIN, Stamp, blueprint_of, differing, stamps, until_changed
from aether.cli.terminal import ended_by_signals, node_log, styled
from aether.forge.console import Console
from aether.forge.processes import LocalPlan, LocalProcesses, NodeEnded, open_processes
from aether.node.settings_table import HTTP_PORT, MANAGEMENT_PORT
from aether.node.throwaway_authority import CLUSTER, ThrowawayAuthority, make_throwaway
from aether.work import ThreadWork, Work

READY_S = 60.0
REQUEST_S = 30.0
ACTIVE_S = 60.0
WATCH_S = 0.2
NAMES_SHOWN = 5
PORTS_APART = 100


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
@click.option("--tls", is_flag=True, help="Every port speaks TLS, with certificates made for this run alone.")
@click.option("--reload", is_flag=True, help="Start anew, on the same ports, when a source file changes.")
def dev(
    apps: tuple[str, ...],
    nodes: int,
    app_dir: Path,
    data_dir: Path | None,
    values: tuple[str, ...],
    tls: bool,
    reload: bool,
) -> None:
    """Run your own module as a cluster of processes on this machine until Ctrl-C.

    The first node listens where a node alone does: HTTP on 8081, management on 8080; each further one 100 higher.
    Ports that are taken are replaced by free ones.
    """
    blueprint = blueprint_text(describe(apps, app_dir))
    settings = dict(_pair(value) for value in values)
    with ExitStack() as stack:
        folder = data_dir or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="aether-dev-", ignore_cleanup_errors=True))
        )
        plan = LocalPlan(
            nodes=nodes,
            apps=apps,
            app_dir=app_dir.resolve(),
            folder=folder.resolve(),
            settings=settings,
            environment=PLAIN if reload else {},
        )
        plan.check()
        plan = attrs.evolve(plan, ports=_usual_ports(plan.names))
        if tls:
            authority = make_throwaway(plan.folder / "tls", CLUSTER, plan.names)
            certificates = {name: authority.directory(name) for name in plan.names}
            named = ("--cluster", CLUSTER)
            plan = attrs.evolve(plan, tls=certificates, ca_key=authority.key, arguments=named)
        if reload:
            trio.run(_run_again_and_again, plan, blueprint, data_dir is None)
        else:
            trio.run(_run, plan, blueprint)


def _usual_ports(names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """HTTP and management of each, the same with each start, so that what was typed once can be typed again."""
    return {name: (HTTP_PORT + n * PORTS_APART, MANAGEMENT_PORT + n * PORTS_APART) for n, name in enumerate(names)}


def _pair(value: str) -> tuple[str, str]:
    name, equals, text = value.partition("=")
    if not equals:
        raise CommandFailed(Exit.USAGE, f"--set {value}: write NAME=VALUE")
    return name, text


def _authority(plan: LocalPlan) -> ThrowawayAuthority | None:
    return None if plan.ca_key is None else ThrowawayAuthority(plan.ca_key.parent)


def _client(plan: LocalPlan) -> httpx.AsyncClient:
    authority = _authority(plan)
    verify = True if authority is None else authority.client_context()
    return httpx.AsyncClient(timeout=REQUEST_S, trust_env=False, verify=verify)


async def _run(plan: LocalPlan, blueprint: str) -> None:
    log = node_log(plan.names)
    client = _client(plan)
    async with ended_by_signals(), open_processes(plan, log) as processes, client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(processes.watch)  # half a start would only confuse
            await _deploy(processes, client, blueprint)
            _say_where(processes)
            nursery.cancel_scope.cancel()
        await _outlive(processes)


async def _run_again_and_again(plan: LocalPlan, blueprint: str, forgets: bool) -> None:
    """As _run, and anew after each change of the code that makes sense."""
    log = node_log(plan.names)
    work = ThreadWork(1)
    known = await work.run(stamps, plan.app_dir, plan.folder)
    client = _client(plan)
    async with ended_by_signals(), open_processes(plan, log) as processes, client:
        while True:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_serve, processes, client, blueprint)
                known, blueprint = await _changed(work, plan, known)
                nursery.cancel_scope.cancel()
            await _start_anew(work, processes, forgets)


async def _changed(work: Work, plan: LocalPlan, known: Mapping[str, Stamp]) -> tuple[Mapping[str, Stamp], str]:
    """The files and the blueprint of the next code that can be imported; what cannot is told, and waited out."""
    while True:
        now = await until_changed(work, plan.app_dir, plan.folder, known)
        names = differing(known, now)
        click.echo(styled(f"changed: {', '.join(names[:NAMES_SHOWN])}", bold=True))
        known = now
        try:
            return known, await blueprint_of(plan.apps, plan.app_dir)
        except CommandFailed as error:
            click.echo(styled(f"{error}\nnothing is started anew until that is mended", bold=True))


async def _serve(processes: LocalProcesses, client: httpx.AsyncClient, blueprint: str) -> None:
    """Deploy, and say what becomes of it; a start that fails is told, and the next change tries again."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(processes.watch)
            await _deploy(processes, client, blueprint)
            _say_where(processes)
            nursery.cancel_scope.cancel()
        await _outlive(processes)
    except* (NodeEnded, CommandFailed) as group:
        for error in leaves(group):
            click.echo(styled(f"{error}\nwaiting for a change of the code", bold=True))


async def _start_anew(work: Work, processes: LocalProcesses, forgets: bool) -> None:
    await processes.end()
    for node in processes.ports:
        if forgets:
            await work.run(shutil.rmtree, processes.directory(node), True)
        await processes.start(node)


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
        console, first, {each["artifact"]: _at_first(each["instances"]) for each in tomli.loads(blueprint)["slices"]}
    )
    if problem:
        click.echo(styled(f"not everything is ACTIVE: {problem}", bold=True))


def _at_first(instances: int | Mapping[str, int]) -> int:
    """How many there are before anything scales them."""
    return instances if isinstance(instances, int) else instances["min"]


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
    authority = _authority(processes.plan)
    believing = "" if authority is None else f"--cacert {authority.authorities} "
    click.echo(f"\n  curl {believing}{first.http_url}/...    any node serves any route")
    place = f"127.0.0.1:{first.management}"
    where = "" if settings(click.get_current_context()).connect == place else f"-c {place} "
    click.echo(f"  aether {where}slices\n\nCtrl-C ends all of them.\n")
