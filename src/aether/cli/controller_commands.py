"""`aether controller` and `aether explain`: why there are so many instances, and how that is decided.

Knows: the requests behind each command, files of recordings.
Never: decides, except in a replay, which changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import click

from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import Settings, settings, shared
from aether.cli.output import show
from aether.cli.times import local_time
from aether.cli.watching import looking

RECORDING_BYTES_MAX = 64 * 2**20


@click.group()
@shared
def controller(**_: Any) -> None:
    """How counts within a range {min, max} are decided: rules, journal, rehearsal and replay."""


@controller.command()
@looking
@click.pass_context
def status(context: click.Context, /, **_: Any) -> None:
    """What the controller does, and what it decided last for each slice."""
    here = settings(context)
    answer = Connection(here).get("/controller/status")
    last: dict[str, Any] = answer.get("lastEvaluation") or {}
    if here.output == "table":
        click.echo(
            f"{answer['status']}; leader {answer['leader'] or 'none'}, every {answer['evaluationIntervalMs']} ms"
        )
        for said in (answer.get("note"), last.get("problem")):
            if said:
                click.echo(said)
    _decisions(here, answer, last.get("decisions", []))


@controller.command()
@click.option("--cpu-up", type=float, help="CPU of the nodes above which more instances are wanted, 0 to 1.")
@click.option("--cpu-down", type=float, help="CPU below which fewer are.")
@click.option("--call-rate", type=float, help="Calls a second of one instance above which more are wanted.")
@click.option("--interval", type=int, metavar="MS", help="Milliseconds between two looks.")
@click.option("--set", "sets", multiple=True, metavar="NAME=VALUE", help="Any other setting, as it is shown.")
@click.option("--artifact", metavar="GROUP:ARTIFACT", help="Of this slice alone.")
@click.option("--reset", is_flag=True, help="Forget first what was set at run time.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@shared
@click.pass_context
def config(context: click.Context, /, *, sets: tuple[str, ...], dry_run: bool, **given: Any) -> None:
    """Show rules and thresholds, or change them for the whole cluster, at once and for good."""
    here = settings(context)
    names = {
        "cpu_up": "cpuScaleUpThreshold",
        "cpu_down": "cpuScaleDownThreshold",
        "call_rate": "callRateScaleUpThreshold",
        "interval": "evaluationIntervalMs",
        "artifact": "artifact",
    }
    body: dict[str, Any] = {name: given[option] for option, name in names.items() if given[option] is not None}
    body |= dict(map(_pair, sets))
    if given["reset"]:
        body["reset"] = True
    if not body:
        answer = Connection(here).get("/controller/config")
        return _config(here, answer, answer)
    answer = Connection(here).post("/controller/config", body, query={"dry_run": "true"} if dry_run else {})
    if "config" in answer:
        return _config(here, answer, answer["config"])
    return show(here, answer, answer.get("writes", []), ["action", "key", "value"])


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--set {text!r}: write NAME=VALUE, such as --set stepUp=2")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _config(here: Settings, answer: Any, config: dict[str, Any]) -> None:
    rows = [{"setting": name, "value": value} for name, value in config.items() if name != "slices"]
    for artifact, own in config.get("slices", {}).items():
        rows += [{"setting": f"{artifact} {name}", "value": value} for name, value in own.items()]
    show(here, answer, rows, ["setting", "value"])


@controller.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@shared
@click.pass_context
def evaluate(context: click.Context, /, *, dry_run: bool, **_: Any) -> None:
    """Let the leader look and decide now."""
    here = settings(context)
    answer = Connection(here).post("/controller/evaluate", {}, query={"dry_run": "true"} if dry_run else {})
    _decisions(here, answer, answer.get("decisions", []))


@controller.command()
@click.argument("artifact", required=False)
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many entries.")
@looking
@click.pass_context
def history(context: click.Context, /, *, artifact: str | None, limit: int, **_: Any) -> None:
    """The journal: every change that was decided, with its figures; the newest first."""
    here = settings(context)
    query = {"limit": str(limit)} | ({"artifact": artifact} if artifact else {})
    answer = Connection(here).get("/controller/history", **query)
    rows = [
        each | {"when": local_time(each["at"]), "count": f"{each['from']} -> {each['to']}", "why": _why(each)}
        for each in answer["decisions"]
    ]
    show(here, answer, rows, ["when", "artifact", "count", "shadow", "controller", "why"])


@controller.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace an existing file.")
@shared
@click.pass_context
def record(context: click.Context, /, *, file: Path, force: bool, **_: Any) -> None:
    """Save what the leader saw and decided lately, for `replay`."""
    here = settings(context)
    body = b"".join(Connection(here).stream("/controller/recording"))
    try:
        with file.open("wb" if force else "xb") as out:
            out.write(body + b"\n")
    except FileExistsError as error:
        raise CommandFailed(Exit.FAILED, f"{file} exists", "give another name, or --force") from error
    except OSError as error:
        raise CommandFailed(Exit.FAILED, f"{file} cannot be written: {error.strerror}") from error
    count = max(0, body.count(b"\n"))
    answer = {"file": str(file), "evaluations": count}
    show(here, answer, [answer], ["file", "evaluations"])


@controller.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="NAME=VALUE", help="With another setting, by its name in a file.")
@click.option("--controller", "name", default="decision_tree", show_default=True, help="Who decides.")
@click.option("--all", "every", is_flag=True, help="Also what changes nothing.")
@shared
@click.pass_context
def replay(context: click.Context, /, *, file: Path, sets: tuple[str, ...], name: str, every: bool, **_: Any) -> None:
    """Decide again about a recording: the same, or with other settings. Asks no cluster, and changes nothing."""
    from aether.control.recording import read
    from aether.control.replay import replayed
    from aether.node.controller import make_controller

    made = list(replayed(read(_lines(file)), make_controller(name), dict(map(_pair, sets))))
    rows = [
        {
            "when": local_time(each.at),
            "at": each.at,
            "artifact": str(each.decision.artifact),
            "from": each.decision.before,
            "to": each.decision.after,
            "recorded": each.recorded.after if each.recorded is not None else None,
            "same": each.is_same,
            "why": "; ".join(reason.text for reason in each.decision.reasons),
        }
        for each in made
        if every or each.decision.changes_something or not each.is_same
    ]
    different = sum(not each.is_same for each in made)
    answer = {"decisions": rows, "evaluated": len(made), "different": different}
    show(settings(context), answer, rows, ["when", "artifact", "from", "to", "recorded", "same", "why"])
    if settings(context).output == "table":
        click.echo(f"{len(made)} decisions, {different} differ from the recorded ones")


def _lines(file: Path) -> list[str]:
    try:
        if file.stat().st_size > RECORDING_BYTES_MAX:
            raise CommandFailed(Exit.USAGE, f"{file} is larger than a recording can be ({RECORDING_BYTES_MAX} bytes)")
        return file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CommandFailed(Exit.USAGE, f"{file} is no recording: {error}") from error
    except OSError as error:
        raise CommandFailed(Exit.FAILED, f"{file} cannot be read: {error.strerror}") from error


@click.command()
@click.argument("artifact")
@looking
@click.pass_context
def explain(context: click.Context, /, *, artifact: str, **_: Any) -> None:
    """Why ARTIFACT has so many instances: every word about its count, and what the controller says now."""
    here = settings(context)
    answer = Connection(here).get(f"/explain/{quote(artifact, safe='')}")
    if here.output != "table":
        return show(here, answer, [answer], [])
    for line in cast("list[str]", answer["why"]):
        click.echo(line)
    return None


def _decisions(here: Settings, answer: Any, decisions: list[dict[str, Any]]) -> None:
    rows = [each | {"count": f"{each['from']} -> {each['to']}", "why": _why(each)} for each in decisions]
    show(here, answer, rows, ["artifact", "action", "count", "active", "outcome", "why"])


def _why(decision: dict[str, Any]) -> str:
    return "; ".join(str(reason["text"]) for reason in decision["reasons"])
