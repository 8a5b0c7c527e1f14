"""`aether rollout` and, in the original's spelling, `aether update`: from one version of a slice to another.

Knows: the requests behind each command, `--wait` and `--watch`.
Never: deciding when a step is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

import click

from aether.cli.change_commands import wait_option
from aether.cli.connection import Connection
from aether.cli.options import Settings, settings, shared, user_name
from aether.cli.output import show
from aether.cli.times import local_time
from aether.cli.watching import looking
from aether.model.gate_presets import PRESETS

_COLUMNS: Final = [
    *("updateId", "artifact", "versions", "strategy", "state", "routing", "oldActive", "newActive", "since"),
    *("waitsFor", "reason"),
]
_HEALTH: Final = ["version", "calls", "failed", "errors", "meanMs", "p50Ms", "p99Ms"]
_OVER: Final = ("COMPLETED", "ROLLED_BACK", "FAILED")
_WATCH_S: Final = 0.5
C = TypeVar("C", bound=Callable[..., Any])


class _Strategy(click.Choice):  # type: ignore[type-arg]  # takes none before click 8.2
    """A strategy as it is typed, or as the tables show it (`blue_green`)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(cast("object", super().convert(str(value).lower().replace("_", "-"), param, ctx)))


@click.group()
@shared
def rollout(**_: Any) -> None:
    """Update a slice to another version without a failed call: start, watch, approve, complete, take back.

    UPDATE is an id, an artifact (its update under way, else its last one), or `current`.
    """


@click.group()
@shared
def update(**_: Any) -> None:
    """The same as `aether rollout`, as clients of the original write it: traffic moves only by `routing`.

    UPDATE is an id, an artifact, or `current`.
    """


def _gates(command: C) -> C:
    options = [
        click.option("-n", "--instances", type=click.IntRange(1), help="Of the new version [as many as the old]."),
        click.option(
            "--gates",
            type=click.Choice(list(PRESETS), case_sensitive=False),
            help="Gates by name; --error-rate, --latency say otherwise.",
        ),
        click.option("--error-rate", type=click.FloatRange(0, 1), help="Gate: share of calls that may fail."),
        click.option("--latency", type=click.FloatRange(0), metavar="MS", help="Gate: p99 in milliseconds."),
        click.option("--manual-approval", is_flag=True, help="Each step waits for `approve`."),
        click.option(
            "--cleanup",
            type=click.Choice(["IMMEDIATE", "GRACE_PERIOD", "MANUAL"], case_sensitive=False),
            help="When the old version goes [IMMEDIATE].",
        ),
        click.option("--force", is_flag=True, help="Even if it breaks live callers."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _plan(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a body for options that were given."""
    names = {
        "instances": "instances", "error_rate": "maxErrorRate", "latency": "maxLatencyMs", "cleanup": "cleanupPolicy",
        "gates": "gates", "manual_approval": "requireManualApproval", "force": "force", "strategy": "strategy",
        "steps": "steps", "hold": "holdS", "batch": "batch", "sticky": "sticky", "against_old": "againstOld",
        "requests_min": "requestsMin", "grace": "graceS",
    }  # fmt: skip
    body = {field: given[name] for name, field in names.items() if given.get(name) not in (None, False)}
    return body | ({"rules": list(given["rules"])} if given.get("rules") else {})


@rollout.command("start")
@click.argument("artifact")
@click.argument("version", required=False)
@click.option(
    "-s",
    "--strategy",
    type=_Strategy(["immediate", "rolling", "canary", "blue-green", "ab", "manual"]),
    help="How traffic moves [rolling].",
)
@click.option("--steps", metavar="1,5,...", help="Percentages of a canary [1,5,25,50,100]; the one share of ab.")
@click.option("--hold", type=click.FloatRange(0), metavar="S", help="How long each step stands.")
@click.option("--batch", type=click.IntRange(1), help="Instances that a rolling update replaces at a time [1].")
@click.option("--rule", "rules", multiple=True, help="Of ab: header:NAME=VALUE, cookie:NAME=VALUE or key=VALUE.")
@click.option("--sticky", metavar="PARAMETER", help="The parameter whose value decides the version of a call.")
@click.option("--against-old", type=click.FloatRange(1), metavar="TIMES", help="Gate: times the old one's figures.")
@click.option("--requests-min", type=click.IntRange(1), help="Fewer calls say nothing to a gate [50].")
@click.option("--grace", type=click.FloatRange(0), metavar="S", help="Of GRACE_PERIOD [300].")
@_gates
@wait_option
@shared
@click.pass_context
def start(context: click.Context, /, artifact: str, version: str | None, wait_s: float | None, **given: Any) -> None:
    """Update ARTIFACT (group:artifact) to VERSION, step by step by itself."""
    _start(context, "/rollouts/start", artifact, version, wait_s, given)


@update.command("start")
@click.argument("artifact")
@click.argument("version")
@_gates
@wait_option
@shared
@click.pass_context
def start_update(context: click.Context, /, artifact: str, version: str, wait_s: float | None, **given: Any) -> None:
    """Deploy VERSION of ARTIFACT (group:artifact) beside the one in force, without traffic."""
    _start(context, "/rolling-update/start", artifact, version, wait_s, given)


def _start(
    context: click.Context, path: str, artifact: str, version: str | None, wait_s: float | None, given: dict[str, Any]
) -> None:
    here = settings(context)
    connection = Connection(here)
    body = {"artifact": artifact, **({"version": version} if version else {}), **_plan(given), "by": user_name()}
    answer = connection.post(path, body, wait_s=wait_s)
    if wait_s is not None:
        answer = connection.get(f"/rollouts/{answer['updateId']}")
    _show(here, answer, [answer])


@click.command("list")
@looking
@click.pass_context
def list_updates(context: click.Context, /, **_: Any) -> None:
    """Updates that are known, the newest first; finished ones too."""
    here = settings(context)
    answer = Connection(here).get("/rollouts")
    _show(here, answer, answer["updates"])


@click.command()
@click.argument("update", default="current")
@click.option("--watch", is_flag=True, help="Print it again whenever it changes, until it is over.")
@shared
@click.pass_context
def status(context: click.Context, /, update: str, watch: bool, **_: Any) -> None:
    """Where UPDATE stands."""
    here = settings(context)
    connection, known = Connection(here), None
    while True:
        answer = connection.get(f"/rollouts/{quote(update, safe='')}")
        update = answer["updateId"]  # `current` stays the same one
        seen = [answer[name] for name in ("state", "routing", "step", "oldActive", "newActive", "waitsFor", "reason")]
        if seen != known:
            _show(here, answer, [answer])
        if not watch or answer["state"] in _OVER:
            return
        known = seen
        time.sleep(_WATCH_S)


@click.command()
@click.argument("update", default="current")
@looking
@click.pass_context
def health(context: click.Context, /, update: str, **_: Any) -> None:
    """How the calls to both versions of UPDATE went, over all nodes."""
    here = settings(context)
    answer = Connection(here).get(f"/rollouts/{quote(update, safe='')}/health")
    versions = [answer["oldVersion"], answer["newVersion"]]
    show(here, answer, [_health_row(each) for each in versions] if here.output == "table" else versions, _HEALTH)
    if here.output == "table":
        click.echo("(calls since each node started; gates judge those since the last share)")
        if answer["verdict"]:
            click.echo(f"{answer['verdict'].get('finding', '')}: {answer['verdict'].get('reason', '')}")


@click.command()
@click.argument("update", default="current")
@click.option("-r", "--ratio", required=True, metavar="NEW:OLD", help="Parts of the traffic, such as 1:3.")
@shared
@click.pass_context
def routing(context: click.Context, /, update: str, ratio: str, **_: Any) -> None:
    """Share the traffic of UPDATE by hand; one that goes by steps is paused there."""
    _word(context, update, "routing", {"routing": ratio}, None)


def _plain(word: str, about: str, *, names_its_user: bool = False) -> click.Command:
    @click.command(word, help=about)
    @click.argument("update", default="current")
    @wait_option
    @shared
    @click.pass_context
    def command(context: click.Context, /, update: str, wait_s: float | None, **_: Any) -> None:
        _word(context, update, word, {"by": user_name()} if names_its_user else {}, wait_s)

    return command


def _word(context: click.Context, update: str, word: str, body: dict[str, Any], wait_s: float | None) -> None:
    here = settings(context)
    connection = Connection(here)
    answer = connection.post(f"/rollouts/{quote(update, safe='')}/{word}", body, wait_s=wait_s)
    if wait_s is not None:
        answer = connection.get(f"/rollouts/{answer['updateId']}")
    _show(here, answer, [answer])


def _show(here: Settings, answer: Any, updates: list[dict[str, Any]]) -> None:
    show(here, answer, [_row(each) for each in updates] if here.output == "table" else updates, _COLUMNS)


def _row(update: dict[str, Any]) -> dict[str, Any]:
    """What a line of the table says: versions as a pair, ACTIVE instances of all, since when it stands so."""
    counts = {f"{v}Active": f"{update[f'{v}Active']}/{update[f'{v}Instances']}" for v in ("old", "new")}
    found = update["health"].get("reason", "") if update["health"].get("finding") == "TOO_FEW" else ""
    is_over = update["state"] in _OVER
    return {
        **update,
        **counts,
        "versions": f"{update['oldVersion']} -> {update['newVersion']}",
        "since": local_time(update["updatedAt"]),
        "waitsFor": update["waitsFor"] or ("" if is_over else found),
    }


def _health_row(version: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": version["version"],
        "calls": version["requestCount"],
        "failed": version["failureCount"],
        "errors": f"{100 * version['errorRate']:.3g} %",
        "meanMs": f"{version['avgLatencyMs']:.1f}",
        "p50Ms": f"{version['p50LatencyMs']:.1f}",
        "p99Ms": f"{version['p99LatencyMs']:.1f}",
    }


for _group in (rollout, update):
    for _command in (
        list_updates,
        status,
        health,
        routing,
        _plain("approve", "Let the step of UPDATE that waits go on."),
        _plain("complete", "Put the new version of UPDATE in force for good, once it has all the traffic."),
        _plain("rollback", "Take UPDATE back: traffic first, instances afterwards.", names_its_user=True),
        _plain("pause", "Let UPDATE stand still; what fails is taken back all the same."),
        _plain("resume", "Let UPDATE go on."),
    ):
        _group.add_command(_command)
