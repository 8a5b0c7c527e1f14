"""`aether slices`: what runs, and where its code comes from.

Knows: which path answers which question; how trees are looked at without a node.
Never: running what it finds in this process: a tree is described by a worker.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from aether.cli.change_commands import wait_option
from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import Settings, settings, shared
from aether.cli.output import show
from aether.cli.progress import AGAIN_S, displayed, standing
from aether.cli.watching import looking

_TREES = ["tree", "state", "artifacts", "problems", "notes"]


@click.group(invoke_without_command=True)
@click.option("--app", "apps", multiple=True, metavar="MODULE[:ATTR]", help="Print the slices of a module instead.")
@click.option(
    "--app-dir", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where modules are found."
)
@wait_option
@looking
@click.pass_context
def slices(context: click.Context, /, apps: tuple[str, ...], app_dir: Path, wait_s: float | None, **_: Any) -> None:
    """Every instance with its state, or the slices of an --app; below, where code comes from."""
    if context.invoked_subcommand is not None:
        return
    here = settings(context)
    if apps:
        from aether.cli.applications import describe

        rows = describe(apps, app_dir)
        show(here, rows, rows, ["artifact", "class", "instances", "routes"])
        return
    answer = _settled(here, wait_s) if wait_s is not None else Connection(here).get("/slices/status")
    rows = [{"artifact": each["artifact"], **instance} for each in answer["slices"] for instance in each["instances"]]
    rows += [_lacking(each) for each in answer["slices"] if not each["instances"] or "unsatisfied" in each]
    show(here, answer, rows, ["artifact", "instance", "nodeId", "state", "reason"])


def _lacking(one: dict[str, Any]) -> dict[str, Any]:
    """The line of what does not run of a slice, with what stands against it."""
    short = one.get("unsatisfied")
    reason = {"reason": f"{short['missing']} find no place: {short['reason']}"} if short else {}
    return one | reason | ({"state": "PENDING"} if one["instances"] else {})


def _settled(here: Settings, wait_s: float) -> Any:
    """/slices/status once every wanted instance is ACTIVE. Raises CommandFailed: they are not by then."""
    connection = Connection(here)
    ends = time.monotonic() + wait_s
    with displayed(color=here.color) as display:
        while True:
            answer = connection.get("/slices/status")
            now = standing(answer)
            if now.is_done:
                return answer
            display.update(now)
            left_s = ends - time.monotonic()
            if left_s <= 0:
                raise CommandFailed(Exit.TIMED_OUT, f"after {wait_s:g} s {now}", "`aether slices` says why, in REASON")
            time.sleep(min(AGAIN_S, left_s))


@slices.command()
@click.option("--trees", is_flag=True, help="The trees of the answering node, with what is wrong with them.")
@looking
@click.pass_context
def store(context: click.Context, /, trees: bool, **_: Any) -> None:
    """Which nodes can run which artifact."""
    here = settings(context)
    answer = Connection(here).get("/slices/store")
    if trees:
        show(here, answer, answer["trees"], _TREES)
    else:
        show(here, answer, answer["artifacts"], ["artifact", "nodes"])


@slices.command()
@shared
@click.pass_context
def rescan(context: click.Context, /, **_: Any) -> None:
    """Let the answering node look at its trees now, and show them."""
    here = settings(context)
    answer = Connection(here).post("/slices/rescan")
    show(here, answer, answer["trees"], _TREES)


@slices.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@shared
@click.pass_context
def check(context: click.Context, /, directory: Path, **_: Any) -> None:
    """Look at the trees in DIR as a node would, without one. Exit 1 when one of them cannot be used.

    Their code is imported, in processes of their own.
    """
    from aether.node.shelf import base_environment, check_trees

    here = settings(context)
    reports = check_trees(directory, base_environment(sys.path, None))
    rows = [_row(report) for report in reports]
    show(here, {"directory": str(directory), "trees": rows}, rows, _TREES)
    if any(report.problems for report in reports):
        context.exit(Exit.FAILED)


def _row(report: Any) -> dict[str, Any]:
    return {
        "tree": report.tree,
        "state": "unfit" if report.problems else "available",
        "artifacts": [str(artifact) for artifact in report.artifacts],
        "problems": list(report.problems),
        "notes": list(report.notes),
    }
