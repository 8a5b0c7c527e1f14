"""What `aether doctor` makes of what it found: a verdict, what it means, what to do.

Knows: the bounds of each check.
Never: measuring, asking a node (doctor_facts.py).
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

SKEW_WARNING_S: Final = 2.0  # dates of answers have whole seconds
SKEW_FAILED_S: Final = 30.0
SYNC_WARNING_S: Final = 0.02
SYNC_FAILED_S: Final = 0.2
FILES_WARNING: Final = 4_096
FILES_FAILED: Final = 512
FREE_WARNING_BYTES: Final = 2 * 2**30
FREE_FAILED_BYTES: Final = 256 * 2**20
EXPIRY_WARNING_S: Final = 30 * 86_400.0
EXPIRY_WARNING_SHARE: Final = 0.3  # of its life: a little less than what is left when it is renewed by itself
AUTHORITY_WARNING_S: Final = 90 * 86_400.0
LAG_WARNING_S: Final = 0.1
LAG_FAILED_S: Final = 0.5


class Verdict(enum.Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@attrs.frozen
class Finding:
    """One check. found  what there is; means  what follows from it; do  what mends it; both "" when it is well"""

    check: str
    verdict: Verdict
    found: str
    means: str = ""
    do: str = ""


def graded(
    check: str, value: float, bounds: tuple[float, float], found: str, *, means: str, do: str, low: bool = False
) -> Finding:
    """By two bounds: at the first it is a warning, at the second it failed. low  small values are the bad ones"""
    sign = -1 if low else 1
    grade = sum(sign * value >= sign * bound for bound in bounds)
    verdict = (Verdict.OK, Verdict.WARNING, Verdict.FAILED)[grade]
    return Finding(check, verdict, found, *((means, do) if grade else ("", "")))


def skipped(check: str, why: str) -> Finding:
    return Finding(check, Verdict.SKIPPED, why)


def worst(findings: Iterable[Finding]) -> Verdict:
    """Of all; OK when none is worse."""
    found = {finding.verdict for finding in findings}
    return next((verdict for verdict in (Verdict.FAILED, Verdict.WARNING) if verdict in found), Verdict.OK)


# --- this machine -----------------------------------------------------------------------------------------------------


@attrs.frozen
class PortFacts:
    """A port of the settings. free  it can be listened on; node  that holds it, "" = unknown; why  it is not free"""

    name: str
    number: int
    free: bool
    node: str = ""
    why: str = ""


def port_verdict(port: PortFacts) -> Finding:
    check = f"{port.name} port {port.number}"
    if port.number == 0:
        return Finding(check, Verdict.OK, "any free one is taken")
    if port.free:
        return Finding(check, Verdict.OK, "free")
    if port.node:
        return Finding(check, Verdict.OK, f"held by node {port.node}")
    return Finding(
        check,
        Verdict.FAILED,
        port.why or "held by something else",
        "a node cannot start with these settings",
        f"end what listens there (`ss -ltnp | grep :{port.number}`), or give the node another port",
    )


def disk_verdicts(directory: str, syncs_s: Sequence[float], free_bytes: int) -> list[Finding]:
    """syncs_s  how long writing a small block to disk took, each time"""
    middle, slowest = statistics.median(syncs_s), max(syncs_s)
    return [
        graded(
            "disk latency",
            middle,
            (SYNC_WARNING_S, SYNC_FAILED_S),
            f"{1e3 * middle:.2f} ms, at most {1e3 * slowest:.2f} ms, in {directory}",
            means="every acknowledged write waits for one such sync on a majority of the voters",
            do="put data_dir on a faster disk, or take load off this one",
        ),
        graded(
            "disk space",
            free_bytes,
            (FREE_WARNING_BYTES, FREE_FAILED_BYTES),
            f"{free_bytes / 2**30:.1f} GiB free in {directory}",
            means="a node whose disk is full takes no writes",
            do="free space, or put data_dir elsewhere",
            low=True,
        ),
    ]


def files_verdict(limit: int) -> Finding:
    """limit  open files that a process may have; -1 = without one"""
    return graded(
        "open files",
        float("inf") if limit < 0 else limit,
        (FILES_WARNING, FILES_FAILED),
        "no limit" if limit < 0 else f"at most {limit}",
        means="each connection is one; connections beyond it are refused",
        do="raise it: `ulimit -n 65536`, or LimitNOFILE=65536 in the unit",
        low=True,
    )


def exposure_verdict(bind: str, *, is_loopback: bool, has_tls: bool, is_insecure: bool) -> Finding:
    if is_loopback:
        return Finding("exposure", Verdict.OK, f"listens on {bind}, for this machine alone")
    if has_tls:
        return Finding("exposure", Verdict.OK, f"listens on {bind}, with TLS")
    found = f"listens on {bind} without TLS"
    do = "give it certificates: `aether ca init`, then tls = DIRECTORY in [node]"
    if is_insecure:
        return Finding("exposure", Verdict.WARNING, found, "whoever reaches it can read, and change, everything", do)
    return Finding("exposure", Verdict.FAILED, found, "a node refuses to start so", do)


@attrs.frozen
class CertificateFacts:
    """A certificate by this machine's clock. begins_s  from now, below 0 = it has; left_s  until its end

    life_s  from beginning to end; misfit  why no node starts with it, "" = one does
    """

    begins_s: float
    left_s: float
    life_s: float
    misfit: str = ""


def certificate_verdict(facts: CertificateFacts) -> Finding:
    """One that renews itself does so with a third of its life left: less is worth a warning, however long it lives."""
    check, days = "certificate", facts.left_s / 86_400
    if facts.begins_s > 0:
        return Finding(
            check, Verdict.FAILED, f"begins in {_span(facts.begins_s)}, by the clock of this machine",
            "whoever it is shown to refuses it until then",
            "set this clock right (`timedatectl status`), or that of the machine that signed it, and issue it again",
        )  # fmt: skip
    found = f"ends in {days:.1f} days" if facts.left_s > 0 else f"ended {-days:.1f} days ago"
    if facts.left_s > 0 and facts.misfit:
        do = "`aether ca issue` makes one for this node: give it the cluster and the id that the settings have"
        return Finding(check, Verdict.FAILED, facts.misfit, "no port of this node opens", do)
    return graded(
        check,
        facts.left_s,
        (min(EXPIRY_WARNING_S, facts.life_s * EXPIRY_WARNING_SHARE), 0.0),
        found,
        means="without a valid certificate nobody talks to this node",
        do="`aether ca renew` makes the next one; a node with --ca-key renews those of all: is one up?",
        low=True,
    )


def authority_verdict(left_s: float) -> Finding:
    days = left_s / 86_400
    return graded(
        "authority",
        left_s,
        (AUTHORITY_WARNING_S, 0.0),
        f"ends in {days:.1f} days" if left_s > 0 else f"ended {-days:.1f} days ago",
        means="what it signed ends with it, and it signs nothing after",
        do="`aether ca init --successor-of DIRECTORY` begins the next one: the runbook of certificates has the steps",
        low=True,
    )


def _span(seconds: float) -> str:
    return f"{seconds / 3_600:.1f} h" if seconds >= 3_600 else f"{seconds / 60:.1f} min"


# --- the cluster ------------------------------------------------------------------------------------------------------


def quorum_verdict(health: Mapping[str, Any]) -> Finding:
    problems = "; ".join(map(str, health.get("problems") or ()))
    if not health.get("quorum"):
        return Finding(
            "quorum",
            Verdict.FAILED,
            problems or "no majority of the voters answers",
            "nothing can be changed, and reads may be old",
            "start the nodes that are missing (`aether nodes`); is none, ask each for its health: a full disk says so; "
            "only for disks that are lost for ever: `aether recover`",
        )
    if health.get("status") != "healthy":
        return Finding(
            "quorum", Verdict.WARNING, problems or str(health.get("status")), "it works, with less than was asked for",
            "`aether nodes` and `aether slices` say more",
        )  # fmt: skip
    return Finding("quorum", Verdict.OK, f"a majority answers; {health.get('nodeCount')} nodes")


def version_verdict(levels: Mapping[str, int]) -> Finding:
    """levels  feature level of each member's release"""
    if len(set(levels.values())) <= 1:
        level = next(iter(levels.values()), 0)
        return Finding("versions", Verdict.OK, f"feature level {level} everywhere")
    oldest = sorted(node for node, level in levels.items() if level == min(levels.values()))
    found = ", ".join(f"{node} has {level}" for node, level in sorted(levels.items()))
    return Finding(
        "versions", Verdict.WARNING, found, "what the newer releases bring stays off until all have it",
        f"finish the update of {', '.join(oldest)}",
    )  # fmt: skip


def skew_verdict(skews_s: Mapping[str, float], silent: Iterable[str]) -> Finding:
    """skews_s  of each member's clock against this machine's; silent  members that could not be asked"""
    missing = sorted(silent)
    if not skews_s:
        return skipped("clock skew", f"nobody could be asked: {', '.join(missing)}")
    spread = max(skews_s.values()) - min(skews_s.values())
    most = max(skews_s, key=lambda node: abs(skews_s[node]))
    found = f"{spread:.1f} s between members; {most} is {skews_s[most]:+.1f} s against this machine"
    return graded(
        "clock skew",
        max(spread, abs(skews_s[most])),
        (SKEW_WARNING_S, SKEW_FAILED_S),
        found + (f"; not asked: {', '.join(missing)}" if missing else ""),
        means="times in answers, expiries and certificates are read differently on each",
        do=f"let NTP set the clock of {most} (`timedatectl status`)",
    )


def lag_verdict(lags_s: Mapping[str, float]) -> Finding:
    if not lags_s:
        return skipped("loop lag", "no figures yet")
    most = max(lags_s, key=lambda node: lags_s[node])
    return graded(
        "loop lag",
        lags_s[most],
        (LAG_WARNING_S, LAG_FAILED_S),
        f"at most {1e3 * lags_s[most]:.1f} ms, on {most}",
        means="something keeps the event loop of that node busy; calls and heartbeats wait for it",
        do="move blocking work off the loop (`@aether.blocking`, worker processes), or give the node more processor",
    )
