"""What is to be set up, and one file of it.

Knows: names, numbers, and which of them every target takes.
Never: how a target spells them.
Holds: whatever a user typed is checked here, before it stands in a file that somebody runs.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from aether.errors import BadInput
from aether.model.limits import CORE_MAX, DRAIN_S

CLUSTER_PORT: Final = 8090
HTTP_PORT: Final = 8081
MANAGEMENT_PORT: Final = 8080
USER: Final = 10001
"""User and group that nodes in containers run as; the images make it."""
NODES_MAX: Final = 50
STOP_MORE_S: Final = 20.0
"""Above its drain a node may need this to leave: an heir for the leader, what does not end by itself, and some air."""
MADE: Final = "Made by `aether generate {target}`: yours to change; made again with --force."

_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
_APP: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(:[A-Za-z_][A-Za-z0-9_.]*)?")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?")
_PATH: Final = re.compile(r"/[A-Za-z0-9._/+@-]+")
_QUANTITY: Final = re.compile(r"[1-9][0-9]{0,8}(Mi|Gi|Ti|M|G|T)")
_DRAIN_S_MAX: Final = 3_600.0


@attrs.frozen
class File:
    """One file, relative to the directory. is_script  it may be executed"""

    path: str
    text: str
    is_script: bool = False


@attrs.frozen(kw_only=True)
class Setup:
    """name      of the cluster, and of what the target makes of it
    nodes         how many; apps  modules with slices that each node loads
    tls           certificates for every port; else --insecure, where a port is not loopback
    plain_http    the HTTP port speaks without TLS, for a proxy in front of it
    drain_s       that calls may take to finish when a node leaves
    image         of containers; namespace, storage, storage_class  of Kubernetes
    hosts         an address for each machine; program  where `aether` is installed there
    """

    name: str = "aether"
    nodes: int = 3
    apps: tuple[str, ...] = ()
    tls: bool = True
    plain_http: bool = False
    drain_s: float = DRAIN_S
    image: str = "aether-node"
    namespace: str = "default"
    storage: str = "1Gi"
    storage_class: str = ""
    hosts: tuple[str, ...] = ()
    program: str = "/opt/aether/bin/aether"

    def check(self) -> None:
        """Raise BadInput that lists every problem at once."""
        problems = [
            *_misfit("--name", self.name, _LABEL, "lower-case letters, digits and inner -, 40 at most"),
            *_misfit("--namespace", self.namespace, _LABEL, "lower-case letters, digits and inner -, 40 at most"),
            *_misfit("--image", self.image, _IMAGE, "a name such as registry.example/shop:1.2.0"),
            *_misfit("--storage", self.storage, _QUANTITY, "a size such as 1Gi"),
            *_misfit("--program", self.program, _PATH, "an absolute path without spaces"),
        ]
        if self.storage_class:
            problems += _misfit("--storage-class", self.storage_class, _HOST, "the name of one")
        for app in self.apps:
            problems += _misfit("--app", app, _APP, "MODULE or MODULE:ATTR")
        for host in self.hosts:
            problems += _misfit("--host", host, _HOST, "a name or an address, without port")
        if len(set(self.hosts)) < len(self.hosts):
            problems.append("--host: each machine once")
        if not 1 <= self.nodes <= NODES_MAX:
            problems.append(f"--nodes {self.nodes}: 1 to {NODES_MAX}")
        if not 0 < self.drain_s <= _DRAIN_S_MAX:
            problems.append(f"--drain {self.drain_s:g}: above 0, and {_DRAIN_S_MAX:.0f} seconds at most")
        if self.plain_http and not self.tls:
            problems.append("--plain-http and --insecure: without TLS every port is plain")
        if problems:
            raise BadInput("nothing is generated", problems)

    @property
    def founders(self) -> int:
        """How many found the cluster together: an odd number, so that each vote is of use. The others join."""
        most = min(self.nodes, CORE_MAX)
        return most if most % 2 else most - 1

    @property
    def stop_s(self) -> int:
        """That a node may take from SIGTERM to its end."""
        return round(self.drain_s + STOP_MORE_S)


def _misfit(option: str, value: str, rule: re.Pattern[str], words: str) -> list[str]:
    return [] if rule.fullmatch(value) else [f"{option} {value!r}: {words}"]
