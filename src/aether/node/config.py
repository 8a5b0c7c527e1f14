"""What one node is told at start.

Knows: every setting of a node, and which combinations are refused.
Never: where a setting comes from (config_sources.py), building rooms.
Holds: an address that is not loopback needs TLS, or the explicit word `insecure`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

import attrs

from aether.control.settings import ControllerSettings
from aether.errors import BadInput
from aether.model.ids import NodeId, is_name
from aether.model.limits import CALL_DEADLINE_S, CORE_MAX, CORE_MAX_HIGHEST, DRAIN_S, LOG_ENTRIES_BETWEEN_SNAPSHOTS
from aether.model.rows import CAPACITY_LABEL
from aether.slice_api.route_options import Cors

SNAPSHOT_ENTRIES_LEAST = 50


def _host(text: str) -> str:
    """A host without the brackets that IPv6 addresses wear beside a port."""
    return text.removeprefix("[").removesuffix("]")


@attrs.frozen(kw_only=True)
class NodeConfig:
    """Settings of one node. Ports: None opens no listener, 0 takes any free port.

    peers       the other founding voters, id -> host:port; empty = a cluster of one
    join        addresses host:port of members of a cluster that this node joins instead
    core_max    voters that the group grows to by itself; auto_replace  a voter that is silent for long loses its vote
    data        directory that survives; None = nothing survives
    slices      directory of trees that worker processes run from; app_dir  where the imported ones were found
    settings    what slices read through `aether.config`, dotted name -> text; secrets  through `aether.secret`
    deadline_s  default deadline of a call; drain_s  how long calls may finish when the node leaves
    zone        where the node stands; calls prefer instances of their own zone; "" = not said
    labels      what placement may ask for; `capacity` is how many instances the node takes in all
    docs        the HTTP port answers /docs and /openapi.json where no slice does
    lease_reads, priority  see RaftConfig
    controller  rules and thresholds, below what is set at run time
    cors        which pages of other origins may read the answers of routes that say nothing themselves
    tls         directory with ca.pem, node.pem, node.key: every port speaks TLS; None = none does
    http_cert, http_key  another certificate for the HTTP port, such as a public one; plain_http  no TLS there
    ca_key      key of the cluster's authority: this node signs certificates; join_token  file with the token by which
                this node gets its first one
    origins     where a setting came from, by its name; those that are not known are left out
    snapshot_entries  entries of the log after which the state is saved; a fifth of them stays behind for those who lag
    """

    node: NodeId
    cluster: str = "aether"
    peers: Mapping[NodeId, str] = attrs.field(factory=dict[NodeId, str])
    join: tuple[str, ...] = ()
    core_max: int = CORE_MAX
    auto_replace: bool = True
    bind: str = attrs.field(default="127.0.0.1", converter=_host)
    advertise: str | None = attrs.field(default=None, converter=attrs.converters.optional(_host))
    port: int | None = None
    http_port: int | None = None
    management_port: int | None = None
    data: Path | None = None
    slices: Path | None = None
    app_dir: Path | None = None
    settings: Mapping[str, str] = attrs.field(factory=dict[str, str])
    secrets: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    insecure: bool = False
    wire_calls: bool = False
    deadline_s: float = CALL_DEADLINE_S
    drain_s: float = DRAIN_S
    lease_reads: bool = False
    priority: int = 0
    zone: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str])
    docs: bool = True
    snapshot_entries: int = LOG_ENTRIES_BETWEEN_SNAPSHOTS
    cors: Cors | None = None
    tls: Path | None = None
    http_cert: Path | None = None
    http_key: Path | None = None
    plain_http: bool = False
    ca_key: Path | None = None
    join_token: Path | None = None
    origins: Mapping[str, str] = attrs.field(factory=dict[str, str], eq=False)
    controller: ControllerSettings = attrs.field(factory=ControllerSettings)

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """The founding voters, sorted, this node among them; () when it joins."""
        return () if self.join else tuple(sorted({self.node, *self.peers}))

    def check(self) -> None:
        """Raise BadInput that lists every problem at once."""
        problems = [
            *_name_problems(self),
            *_group_problems(self),
            *_port_problems(self),
            *_exposure_problems(self),
            *_tls_problems(self),
        ]
        if problems:
            raise BadInput(f"node {self.node} cannot start", problems)


def _name_problems(config: NodeConfig) -> list[str]:
    named = {"cluster name": config.cluster, "--zone": config.zone or "none"}
    rule = "use letters, digits and inner . _ -"
    capacity = config.labels.get(CAPACITY_LABEL, "0")
    wrong = [] if capacity.isascii() and capacity.isdigit() else [f"label capacity {capacity!r}: give a whole number"]
    return [f"{what} {name!r}: {rule}" for what, name in named.items() if not is_name(name)] + wrong


def _group_problems(config: NodeConfig) -> list[str]:
    problems: list[str] = []
    if config.join and config.peers:
        problems.append("--join and --peers contradict each other: a node founds a cluster with peers or joins one")
    if config.join and config.port is None:
        problems.append("a node that joins needs a cluster port, for the others to reach it")
    if config.snapshot_entries < SNAPSHOT_ENTRIES_LEAST:
        problems.append(f"snapshot_entries = {config.snapshot_entries}: at least {SNAPSHOT_ENTRIES_LEAST}")
    if not 1 <= config.core_max <= CORE_MAX_HIGHEST:
        problems.append(f"core_max = {config.core_max}: 1 to {CORE_MAX_HIGHEST} members may vote")
    return problems


def _port_problems(config: NodeConfig) -> list[str]:
    ports = {"--port": config.port, "--http-port": config.http_port, "--management-port": config.management_port}
    problems = [
        f"{name}={port}: a port is 0 to 65535" for name, port in ports.items() if port and not 0 <= port <= 65535
    ]
    taken: dict[int, str] = {}
    for name, port in ports.items():
        if port and port in taken:
            problems.append(f"{name} and {taken[port]} are both {port}; give each its own")
        elif port:
            taken[port] = name
    return problems


def _exposure_problems(config: NodeConfig) -> list[str]:
    if config.bind in ("0.0.0.0", "::") and (config.peers or config.join) and not config.advertise:  # noqa: S104 - compared, not bound
        return [f"--bind {config.bind} is no address that peers can dial; say theirs with --advertise HOST"]
    if config.insecure or config.tls is not None or is_loopback(config.bind):
        return []  # with TLS peers are known by their certificates, and changes need a token or a certificate
    exposed = f"--bind {config.bind} is reachable from other machines and this node has no TLS"
    return [f"{exposed}: give it certificates with --tls DIR (aether ca), or accept the risk with --insecure"]


def _tls_problems(config: NodeConfig) -> list[str]:
    problems: list[str] = []
    if (config.http_cert is None) != (config.http_key is None):
        problems.append("--http-cert and --http-key belong together: a certificate and its key")
    needs = {
        "--http-cert": config.http_cert, "--ca-key": config.ca_key, "--join-token": config.join_token,
        "--plain-http": config.plain_http or None,
    }  # fmt: skip
    if config.tls is None:
        problems += [f"{name} needs --tls DIR" for name, value in needs.items() if value is not None]
    if config.join_token is not None and not config.join:
        problems.append("--join-token needs --join HOST:PORT of a node that has the key of the authority (--ca-key)")
    return problems


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
