"""Commands that change what runs: deploy, scale, undeploy.

Knows: the requests behind each, and `--wait`.
Never: deciding where instances go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from aether.cli.connection import Connection
from aether.cli.options import Settings, settings, shared
from aether.cli.output import show
from aether.cli.times import MOMENT, SPAN, local_time

WAIT_S = 120.0
F = TypeVar("F", bound=Callable[..., Any])


def wait_option(command: F) -> F:
    """Give `command` the option --wait."""
    return click.option(
        "--wait",
        "wait_s",
        is_flag=False,
        flag_value=WAIT_S,
        type=click.FloatRange(0, 3600),
        default=None,
        metavar="[SECONDS]",
        help=f"Return when the change is ACTIVE everywhere [up to {WAIT_S:g} s].",
    )(command)


def _answer(here: Settings, answer: Any) -> None:
    show(here, answer, [answer], ["status", "artifact", "instances", "revision"])


@click.command()
@click.argument("artifact")
@click.option("-n", "--instances", type=click.IntRange(0), help="How many [as now, else as the slice says].")
@wait_option
@shared
@click.pass_context
def deploy(context: click.Context, /, artifact: str, instances: int | None, wait_s: float | None, **_: Any) -> None:
    """Deploy ARTIFACT (group:artifact:version), owned by the blueprint `adhoc`."""
    here = settings(context)
    body = {"artifact": artifact} if instances is None else {"artifact": artifact, "instances": instances}
    _answer(here, Connection(here).post("/deploy", body, wait_s=wait_s))


@click.command()
@click.argument("artifact")
@click.option("-n", "--instances", type=click.IntRange(0), required=True, help="How many.")
@click.option("--for", "for_s", type=SPAN, default=None, help="Only for so long, such as 30m.")
@click.option("--until", type=MOMENT, default=None, help="Only until then, such as 2031-05-01T18:00.")
@click.option("--reason", default="", help="Why, for whoever wonders later.")
@wait_option
@shared
@click.pass_context
def scale(
    context: click.Context,
    /,
    artifact: str,
    instances: int,
    for_s: float | None,
    until: float | None,
    reason: str,
    wait_s: float | None,
    **_: Any,
) -> None:
    """Change how many instances of ARTIFACT (group:artifact or group:artifact:version) run."""
    here = settings(context)
    asked = {"forSeconds": for_s, "until": until, "reason": reason or None}
    body = {"artifact": artifact, "instances": instances, **{k: v for k, v in asked.items() if v is not None}}
    answer = Connection(here).post("/scale", body, wait_s=wait_s)
    _answer(here, answer)
    override = answer.get("override")
    if override and override["until"] and here.output == "table":
        click.echo(f"{answer['wished']} again at {local_time(override['until'])}", err=True)


@click.command()
@click.argument("artifact")
@wait_option
@shared
@click.pass_context
def undeploy(context: click.Context, /, artifact: str, wait_s: float | None, **_: Any) -> None:
    """Remove ARTIFACT from the cluster. Calls in flight finish first."""
    here = settings(context)
    answer = Connection(here).post("/undeploy", {"artifact": artifact}, wait_s=wait_s)
    _answer(here, answer)
    if "inForce" in answer:
        click.echo(f"{answer['inForce']} is wanted, and stays", err=True)
    elif answer.get("wasWanted") is False:
        click.echo(f"nobody wanted {artifact}; `aether slices` shows what is left", err=True)
