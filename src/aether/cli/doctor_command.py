"""`aether doctor`: is this machine fit for a node, and is the cluster well?

Knows: which checks there are, and what each of them needs.
Never: bounds (verdicts.py), measuring (doctor_facts.py).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from aether.cli import verdicts
from aether.cli.exits import CommandFailed, Exit
from aether.cli.node_settings import gathered
from aether.cli.options import Settings, settings, shared
from aether.cli.output import show
from aether.cli.verdicts import Finding, Verdict
from aether.errors import BadInput

if TYPE_CHECKING:
    from aether.node.config import NodeConfig

Answers = Mapping[str, Any]


@click.command()
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), default=None, help="Of the node on this machine."
)
@click.option("--local", is_flag=True, help="This machine alone, before its node is started.")
@shared
@click.pass_context
def doctor(context: click.Context, /, data_dir: Path | None, local: bool, **_: Any) -> None:
    """Check this machine and the cluster: what is wrong, what it means, what to do. Exit 1 when a check failed.

    The settings of the node on this machine are those of the environment, and of --config FILE before the command.
    """
    here = settings(context)
    answers, refusal = ({}, None) if local else _asked(here)
    findings = [*_of_machine(data_dir, answers.get("/status", {}))]
    if refusal is not None:
        findings.append(Finding("node", Verdict.FAILED, refusal.message, "the cluster was not checked", refusal.hint))
    elif answers:
        findings += _of_cluster(here, answers)
    rows = [{**attrs.asdict(each), "verdict": each.verdict.value} for each in findings]
    verdict = verdicts.worst(findings)
    show(here, {"verdict": verdict.value, "checks": rows}, rows, ["verdict", "check", "found"])
    if here.output == "table":
        for each in findings:
            if each.means:
                click.echo(f"\n{each.check}: {each.means}" + (f"\n  {each.do}" if each.do else ""))
    if verdict is Verdict.FAILED:
        context.exit(Exit.FAILED)


def _asked(here: Settings) -> tuple[dict[str, Any], CommandFailed | None]:
    """What the node says, by path, and why it did not say more."""
    from aether.cli.connection import Connection

    connection = Connection(here)
    answers: dict[str, Any] = {}
    try:
        for path in ("/status", "/health", "/members", "/metrics"):
            answers[path] = connection.get(path)
    except CommandFailed as failed:
        return answers, failed
    return answers, None


def _of_machine(data_dir: Path | None, status: Answers) -> Iterator[Finding]:
    from aether.cli import doctor_facts
    from aether.node.config_sources import load

    yield verdicts.files_verdict(doctor_facts.files_limit())
    try:
        config = load(gathered({"file": None, "join": (), "data_dir": data_dir}))
    except BadInput as error:
        do = "`aether config show --origin` says where each came from"
        yield Finding("settings", Verdict.FAILED, f"{error.what}: {'; '.join(error.problems)}", "no node starts so", do)
        return
    yield Finding("settings", Verdict.OK, f"of node {config.node}")
    ports = {"management": config.management_port, "http": config.http_port, "cluster": config.port}
    for name, number in ports.items():
        if number is not None:
            yield verdicts.port_verdict(doctor_facts.port_facts(name, config.bind, number, status))
    yield _exposure(config)
    yield from _disk(config)
    yield from _certificate(config)


def _exposure(config: NodeConfig) -> Finding:
    host = config.bind.strip("[]")
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    return verdicts.exposure_verdict(
        config.bind, is_loopback=is_loopback, has_tls=config.tls is not None, is_insecure=config.insecure
    )


def _disk(config: NodeConfig) -> list[Finding]:
    from aether.cli import doctor_facts

    if config.data is None:
        return [verdicts.skipped("disk latency", "nothing is kept on disk")]
    directory = doctor_facts.existing(config.data)
    try:
        times = doctor_facts.sync_times_s(directory)
        return verdicts.disk_verdicts(str(directory), times, doctor_facts.free_bytes(directory))
    except OSError as error:
        do = "let the user of the node own it, or set data_dir"
        found = f"{directory}: {error.strerror or error}"
        return [Finding("disk latency", Verdict.FAILED, found, "a node keeps its state there", do)]


def _certificate(config: NodeConfig) -> list[Finding]:
    from aether.cli import doctor_facts
    from aether.node.certify import INSTALL

    if config.tls is None:
        return [verdicts.skipped("certificate", "no TLS is set up")]
    means = "no port of this node opens"
    try:
        facts, authority_s = doctor_facts.certificate_facts(config.tls, config.cluster, config.node)
    except ImportError as error:
        return [Finding("certificate", Verdict.FAILED, str(error), means, INSTALL)]
    except (BadInput, OSError) as error:
        do = f"`aether ca issue {config.node} --out {config.tls}` makes one"
        return [Finding("certificate", Verdict.FAILED, f"{config.tls}: {error}", means, do)]
    return [verdicts.certificate_verdict(facts), verdicts.authority_verdict(authority_s)]


def _of_cluster(here: Settings, answers: Mapping[str, Answers]) -> Iterator[Finding]:
    from aether.cli import doctor_facts

    yield verdicts.quorum_verdict(answers["/health"])
    members: list[Answers] = answers["/members"]["members"]
    levels = {str(m["id"]): int(m["featureLevel"]) for m in members if m.get("incarnation") and m.get("featureLevel")}
    yield verdicts.version_verdict(levels)
    yield verdicts.skew_verdict(*doctor_facts.clock_skews_s(here, [m for m in members if m.get("reachable")]))
    load = answers["/metrics"]["load"]
    yield verdicts.lag_verdict({node: each["loop.lag_s"] for node, each in load.items() if "loop.lag_s" in each})
