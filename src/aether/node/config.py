"""What one node is told at start: from arguments, the environment, a TOML file, or defaults, in this order.

Knows: every setting of a node, its spelling in each source, and which combinations are refused.
Never: reading the environment or files by itself (the caller passes them in), building rooms.
Holds: an address that is not loopback needs TLS and tokens, or the explicit word `insecure`.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import attrs
import tomli

from aether.errors import BadInput
from aether.model.ids import NodeId, is_name, node_id
from aether.model.limits import CALL_DEADLINE_S, CORE_MAX, CORE_MAX_HIGHEST, DRAIN_S, LOG_ENTRIES_BETWEEN_SNAPSHOTS
from aether.model.rows import CAPACITY_LABEL
from aether.slice_api.route_options import Cors
from aether.transport.address import split_address

MANAGEMENT_PORT = 8080
HTTP_PORT = 8081
CLUSTER_PORT = 8090
SNAPSHOT_ENTRIES_LEAST = 50

ENVIRONMENT: Mapping[str, tuple[str, ...]] = {  # the original's names; AETHER_ names win where both are set
    "node_id": ("AETHER_NODE_ID", "NODE_ID"),
    "port": ("AETHER_PORT", "CLUSTER_PORT"),
    "management_port": ("AETHER_MANAGEMENT_PORT", "MANAGEMENT_PORT"),
    "http_port": ("AETHER_HTTP_PORT", "HTTP_PORT"),
    "peers": ("AETHER_PEERS", "CLUSTER_PEERS", "PEERS"),
    "join": ("AETHER_JOIN",),
    "bind": ("AETHER_BIND",),
    "snapshot_entries": ("AETHER_SNAPSHOT_ENTRIES",),
    "advertise": ("AETHER_ADVERTISE",),
    "zone": ("AETHER_ZONE",),
    "data_dir": ("AETHER_DATA_DIR",),
    "slices": ("AETHER_SLICES",),
    "cluster": ("AETHER_CLUSTER",),
}


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
    cors        which pages of other origins may read the answers of routes that say nothing themselves
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

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """The founding voters, sorted, this node among them; () when it joins."""
        return () if self.join else tuple(sorted({self.node, *self.peers}))

    def check(self) -> None:
        """Raise BadInput that lists every problem at once."""
        problems = [*_name_problems(self), *_group_problems(self), *_port_problems(self), *_exposure_problems(self)]
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
    if config.insecure or is_loopback(config.bind):
        return []
    exposed = f"--bind {config.bind} is reachable from other machines and this node has no TLS and no tokens"
    return [f"{exposed}: bind to 127.0.0.1, or accept the risk with --insecure"]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_peers(text: str) -> dict[NodeId, str]:
    """Read `id:host:port,...`; a bare `host:port` gets the id `node-<host>-<port>`. Raises BadInput."""
    peers: dict[NodeId, str] = {}
    problems: list[str] = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, address = _split_peer(item)
        _, _, port = address.rpartition(":")
        if not is_name(name) or not port.isdigit() or not 0 < int(port) <= 65535:
            problems.append(f"{item!r}: write id:host:port, such as node-2:127.0.0.1:8091")
        elif name in peers and peers[NodeId(name)] != address:
            problems.append(f"{item!r}: {name} is given twice, also as {peers[NodeId(name)]}")
        else:
            peers[NodeId(name)] = address
    if problems:
        raise BadInput("bad --peers", problems)
    return peers


def parse_contacts(texts: Iterable[str]) -> tuple[str, ...]:
    """Addresses `host:port` of members, each given by itself or several with commas. Raises BadInput."""
    contacts = tuple(dict.fromkeys(part.strip() for text in texts for part in text.split(",") if part.strip()))
    problems: list[str] = []
    for contact in contacts:
        try:
            host, port = split_address(contact)
        except BadInput:
            host, port = "", 0
        if not host or not port:
            problems.append(f"{contact!r}: write HOST:PORT of the cluster port of a member, such as 127.0.0.1:8090")
    if problems:
        raise BadInput("bad --join", problems)
    return contacts


def _split_peer(item: str) -> tuple[str, str, str]:
    head, colon, port = item.rpartition(":")
    name, separator, host = head.partition(":")
    if not separator:
        return f"node-{head.replace('.', '-')}-{port}", colon, item
    return name, separator, f"{host}:{port}"


@attrs.frozen(kw_only=True)
class Sources:
    """Where a setting may come from: command line, environment, TOML text of `file`."""

    arguments: Mapping[str, object] = attrs.field(factory=dict[str, object])
    environment: Mapping[str, str] = attrs.field(factory=dict[str, str])
    file: str = ""
    toml: str = ""


FILE_KEYS: Mapping[str, set[str] | None] = {
    "cluster": {"name", "peers", "join", "core_max", "auto_replace"},
    "node": {
        "id",
        "bind",
        "advertise",
        "zone",
        "data_dir",
        "slices",
        "drain_s",
        "deadline_s",
        "docs",
        "lease_reads",
        "priority",
        "snapshot_entries",
    },
    "ports": {"cluster", "http", "management"},
    "labels": None,
    "config": None,  # free: what slices read
    "secrets": None,
}


def load(sources: Sources) -> NodeConfig:
    """One NodeConfig out of all sources. Raises BadInput with every problem and the source it came from."""
    table = _read_toml(sources)
    section = {name: dict(table.get(name, {})) for name in FILE_KEYS}

    def found(name: str, group: str, key: str) -> tuple[object, str]:
        """The value, and how its source spells the setting."""
        if sources.arguments.get(name) is not None:
            return sources.arguments[name], f"--{name.replace('_', '-')}"
        for variable in ENVIRONMENT.get(name, ()):
            if sources.environment.get(variable):
                return sources.environment[variable], variable
        return section.get(group, {}).get(key), f"{sources.file}: {group}.{key}"

    def pick(name: str, group: str, key: str) -> object:
        return found(name, group, key)[0]

    peers = pick("peers", "cluster", "peers")
    identifier = node_id(str(pick("node_id", "node", "id") or "node-1"))
    known = parse_peers(
        ",".join(map(str, cast("list[object]", peers))) if isinstance(peers, list) else str(peers or "")
    )
    known.pop(identifier, None)
    contacts = pick("join", "cluster", "join") or ()
    data = pick("data_dir", "node", "data_dir")
    slices = pick("slices", "node", "slices")
    advertise = pick("advertise", "node", "advertise")
    config = NodeConfig(
        node=identifier,
        cluster=str(pick("cluster", "cluster", "name") or "aether"),
        peers=known,
        join=parse_contacts([contacts] if isinstance(contacts, str) else map(str, cast("Sequence[object]", contacts))),
        core_max=_whole(*found("core_max", "cluster", "core_max"), CORE_MAX),
        auto_replace=_flag(section["cluster"].get("auto_replace"), "cluster.auto_replace", default=True),
        bind=str(pick("bind", "node", "bind") or "127.0.0.1"),
        advertise=str(advertise) if advertise else None,
        zone=str(pick("zone", "node", "zone") or ""),
        labels=flatten(section["labels"]),
        port=_port(*found("port", "ports", "cluster"), CLUSTER_PORT),
        http_port=_port(*found("http_port", "ports", "http"), HTTP_PORT),
        management_port=_port(*found("management_port", "ports", "management"), MANAGEMENT_PORT),
        data=Path(str(data)) if data else Path("aether-data") / identifier,
        slices=Path(str(slices)) if slices else None,
        settings=flatten(section["config"]),
        secrets=flatten(section["secrets"]),
        insecure=bool(sources.arguments.get("insecure")),
        deadline_s=_seconds(section["node"].get("deadline_s"), CALL_DEADLINE_S, "node.deadline_s"),
        drain_s=_seconds(section["node"].get("drain_s"), DRAIN_S, "node.drain_s"),
        docs=_flag(section["node"].get("docs"), "node.docs", default=True),
        lease_reads=_flag(*found("lease_reads", "node", "lease_reads")),
        priority=_whole(
            *found("priority", "node", "priority"), rule="; 0 is usual, the highest is wished for as leader"
        ),
        snapshot_entries=_whole(
            *found("snapshot_entries", "node", "snapshot_entries"),
            LOG_ENTRIES_BETWEEN_SNAPSHOTS,
            rule="; 25000 is usual",
        ),
    )
    config.check()
    return config


def _read_toml(sources: Sources) -> dict[str, dict[str, object]]:
    try:
        table = tomli.loads(sources.toml)
    except tomli.TOMLDecodeError as error:
        raise BadInput(f"{sources.file} is no TOML", (str(error),)) from error
    problems: list[str] = []
    for name, section in table.items():
        allowed = FILE_KEYS.get(name, set())
        if name not in FILE_KEYS:
            problems.append(f"{name}: unknown section{_did_you_mean(name, FILE_KEYS)}")
        elif not isinstance(section, dict):
            problems.append(f"{name}: must be a table")
        elif allowed is not None:
            unknown = sorted(cast("dict[str, object]", section).keys() - allowed)
            problems.extend(f"{name}.{key}: unknown key{_did_you_mean(key, allowed)}" for key in unknown)
    if problems:
        raise BadInput(f"{sources.file} has errors", problems)
    return table


def _did_you_mean(word: str, known: Mapping[str, object] | set[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(known))}"


def _port(value: object, source: str, default: int) -> int:
    if value is None:
        return default
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        problems = ["a port is a number from 0 to 65535"]
        if text.startswith("tcp://"):
            problems.append("Kubernetes sets such variables for a service of that name; give the service another name")
        raise BadInput(f"{source}={text}", problems)
    return int(text)


def _flag(value: object, source: str, *, default: bool = False) -> bool:
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise BadInput(f"{source} = {value!r}", ("write true or false",))


def _whole(value: object, source: str, default: int = 0, *, rule: str = "") -> int:
    if value is None:
        return default
    if isinstance(value, str) and value.isdecimal():
        return int(value)  # from the environment
    if type(value) is not int:
        raise BadInput(f"{source} = {value!r}", (f"give a whole number{rule}",))
    return value


def _seconds(value: object, default: float, key: str) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise BadInput(f"{key} = {value!r}", ("give a number of seconds above 0",))
    return float(value)


def flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Settings as slices read them: dotted keys, values as text; lists are separated by commas."""
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(cast("Mapping[str, object]", value), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _text(value)
    return flat


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_text, cast("Sequence[object]", value)))
    return str(value)
