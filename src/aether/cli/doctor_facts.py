"""What `aether doctor` measures on this machine, and asks of the members.

Knows: sockets, disks, limits of the process, which path answers what.
Never: what a figure means (verdicts.py).
"""

from __future__ import annotations

import contextlib
import email.utils
import os
import resource
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed
from aether.cli.options import Settings
from aether.cli.verdicts import CertificateFacts, PortFacts
from aether.errors import BadInput
from aether.model.ids import NodeId

SYNCS: Final = 8
SYNC_BYTES: Final = 4096
ANSWER_S: Final = 2.0
MEMBERS_MAX: Final = 50


def port_facts(name: str, host: str, number: int, holder: Mapping[str, Any]) -> PortFacts:
    """holder  what the node at the management port says of itself; {} when none answers"""
    if number == 0:
        return PortFacts(name, number, free=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host.strip("[]"), number))
            tried.listen(1)
        except OSError as error:
            addresses: Mapping[str, Any] = holder.get("addresses") or {}
            own = str(addresses.get(name) or "").rpartition(":")[2] == str(number)
            return PortFacts(name, number, free=False, node=str(holder["nodeId"]) if own else "", why=str(error))
    return PortFacts(name, number, free=True)


def existing(directory: Path) -> Path:
    """`directory`, or the nearest one above it that is there: it will be made on the same disk."""
    resolved = directory.resolve()
    return next(each for each in (resolved, *resolved.parents) if each.is_dir())


def sync_times_s(directory: Path) -> list[float]:
    """How long a small block takes to the disk of `directory`, a few times. Raises OSError: it cannot be written."""
    took: list[float] = []
    with tempfile.TemporaryFile(dir=directory, prefix=".aether-doctor-") as file:
        for _ in range(SYNCS):
            file.write(b"\0" * SYNC_BYTES)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return took


def free_bytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free


def files_limit() -> int:
    """Open files that a process started here may have; -1 = any number."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return -1 if soft == resource.RLIM_INFINITY else soft


def certificate_facts(directory: Path, cluster: str, node: str) -> tuple[CertificateFacts, float]:
    """The certificate of a node, and for how long its authority holds. Raises BadInput (unreadable), ImportError."""
    from aether.security.certificates import read_bundle, read_certificate
    from aether.security.credentials_service import Credentials
    from aether.security.directory_service import AUTHORITIES, NODE, certificate_file, read_file

    now_s = time.time()
    read = read_certificate(read_file(certificate_file(directory, NODE)))
    bundle = read_bundle(read_file(directory / AUTHORITIES))
    signers = [each.not_after for each in bundle if each.name == read.issuer] or [each.not_after for each in bundle]
    misfit = ""
    try:
        Credentials(directory, cluster, NodeId(node), time.time)  # what the node would do
    except BadInput as error:
        misfit = "; ".join([error.what, *error.problems])
    facts = CertificateFacts(read.not_before - now_s, read.not_after - now_s, read.not_after - read.not_before, misfit)
    return facts, max(signers) - now_s


def clock_skews_s(here: Settings, members: list[Mapping[str, Any]]) -> tuple[dict[str, float], list[str]]:
    """(seconds that each member's clock is ahead of ours, members that could not be asked)"""
    skews: dict[str, float] = {}
    silent: list[str] = []
    for member in members[:MEMBERS_MAX]:
        skew = _skew_s(here, str(member.get("managementAddress") or ""))
        if skew is None:
            silent.append(str(member["id"]))
        else:
            skews[str(member["id"])] = skew
    return skews, silent


def _skew_s(here: Settings, address: str) -> float | None:
    if not address:
        return None
    with contextlib.suppress(CommandFailed, TypeError, ValueError):
        before = time.time()
        date = Connection(attrs.evolve(here, connect=address), answer_s=ANSWER_S).date()
        middle = (before + time.time()) / 2
        theirs = email.utils.parsedate_to_datetime(date).timestamp()
        return min(0.0, theirs + 1.0 - middle) + max(0.0, theirs - middle)  # a date has whole seconds: within, no skew
    return None
