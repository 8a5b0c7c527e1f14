"""Every setting of a node, in one table: its spelling in each source, how it is read, what holds unless it is said.

Knows: names on the command line, variables of the environment, keys of the file; the reader of each value.
Never: which source has a value (config_sources.py), which combinations fit (config.py).
Holds: the reference page and the settings of the file are made from this table, so they cannot disagree with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import attrs

from aether.errors import BadInput
from aether.model.ids import NodeId, node_id
from aether.model.limits import CALL_DEADLINE_S, CORE_MAX, DRAIN_S, LOG_ENTRIES_BETWEEN_SNAPSHOTS
from aether.node.peer_addresses import parse_contacts, parse_peers

MANAGEMENT_PORT: Final = 8080
HTTP_PORT: Final = 8081
CLUSTER_PORT: Final = 8090

Read = Callable[[object, str], object]
"""(what the source holds, how it spells the setting) -> the value. Raises BadInput that names the spelling."""


@attrs.frozen(kw_only=True)
class Setting:
    """One setting.

    field      of NodeConfig
    argument   its name on the command line, without `--`; "" = it has none
    variables  of the environment, the first that is set wins; the original's names come last
    section, key  of the file; "" = it cannot stand there
    default    when no source says it
    """

    field: str
    read: Read
    default: object
    argument: str = ""
    variables: tuple[str, ...] = ()
    section: str = ""
    key: str = ""

    @property
    def name(self) -> str:
        """Of the setting, wherever it is spoken of: its key in the file, else its argument."""
        return f"{self.section}.{self.key}" if self.section else f"--{self.argument}"


# --- readers ----------------------------------------------------------------------------------------------------------


def _text(value: object, source: str) -> str:
    return str(value)


def _name(value: object, source: str) -> NodeId:
    return node_id(str(value))


def _optional(value: object, source: str) -> str | None:
    return str(value) or None


def _path(value: object, source: str) -> Path | None:
    return Path(str(value)) if str(value) else None


def _texts(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(each) for each in cast("Sequence[object]", value)]
    return [str(value)]


def _peers(value: object, source: str) -> Mapping[NodeId, str]:
    return parse_peers(",".join(_texts(value)))


def _contacts(value: object, source: str) -> tuple[str, ...]:
    return parse_contacts(_texts(value))


def _port(value: object, source: str) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        problems = ["a port is a number from 0 to 65535"]
        if text.startswith("tcp://"):
            problems.append("Kubernetes sets such variables for a service of that name; give the service another name")
        raise BadInput(f"{source}={text}", problems)
    return int(text)


def _flag(value: object, source: str) -> bool:
    if isinstance(value, bool):
        return value
    raise BadInput(f"{source} = {value!r}", ("write true or false",))


def _whole(rule: str = "") -> Read:
    def read(value: object, source: str) -> int:
        if isinstance(value, str) and value.isdecimal():
            return int(value)  # from the environment
        if type(value) is not int:
            raise BadInput(f"{source} = {value!r}", (f"give a whole number{rule}",))
        return value

    return read


def _seconds(value: object, source: str) -> float:
    try:
        seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise BadInput(f"{source} = {value!r}", ("give a number of seconds above 0",))
    return seconds


# --- the table --------------------------------------------------------------------------------------------------------


def _setting(
    field: str,
    place: str,
    read: Read,
    default: object,
    *variables: str,
    argument: str = "",
) -> Setting:
    """place  `section.key` of the file"""
    section, _, key = place.partition(".")
    return Setting(
        field=field, read=read, default=default, argument=argument, variables=variables, section=section, key=key
    )


SETTINGS: Final[tuple[Setting, ...]] = (
    _setting("node", "node.id", _name, NodeId("node-1"), "AETHER_NODE_ID", "NODE_ID", argument="node-id"),
    _setting("cluster", "cluster.name", _text, "aether", "AETHER_CLUSTER", argument="cluster"),
    _setting("peers", "cluster.peers", _peers, {}, "AETHER_PEERS", "CLUSTER_PEERS", "PEERS", argument="peers"),
    _setting("join", "cluster.join", _contacts, (), "AETHER_JOIN", argument="join"),
    _setting("core_max", "cluster.core_max", _whole(), CORE_MAX, argument="core-max"),
    _setting("auto_replace", "cluster.auto_replace", _flag, True),
    _setting("port", "ports.cluster", _port, CLUSTER_PORT, "AETHER_PORT", "CLUSTER_PORT", argument="port"),
    _setting("http_port", "ports.http", _port, HTTP_PORT, "AETHER_HTTP_PORT", "HTTP_PORT", argument="http-port"),
    _setting(
        "management_port",
        "ports.management",
        _port,
        MANAGEMENT_PORT,
        "AETHER_MANAGEMENT_PORT",
        "MANAGEMENT_PORT",
        argument="management-port",
    ),
    _setting("bind", "node.bind", _text, "127.0.0.1", "AETHER_BIND", argument="bind"),
    _setting("advertise", "node.advertise", _optional, None, "AETHER_ADVERTISE", argument="advertise"),
    _setting("zone", "node.zone", _text, "", "AETHER_ZONE", argument="zone"),
    _setting("data", "node.data_dir", _path, None, "AETHER_DATA_DIR", argument="data-dir"),
    _setting("slices", "node.slices", _path, None, "AETHER_SLICES", argument="slices"),
    _setting("deadline_s", "node.deadline_s", _seconds, CALL_DEADLINE_S),
    _setting("drain_s", "node.drain_s", _seconds, DRAIN_S, "AETHER_DRAIN_S", argument="drain"),
    _setting("docs", "node.docs", _flag, True),
    _setting("lease_reads", "node.lease_reads", _flag, False, argument="lease-reads"),
    _setting(
        "priority",
        "node.priority",
        _whole("; 0 is usual, the highest is wished for as leader"),
        0,
        argument="priority",
    ),
    _setting(
        "snapshot_entries",
        "node.snapshot_entries",
        _whole("; 25000 is usual"),
        LOG_ENTRIES_BETWEEN_SNAPSHOTS,
        "AETHER_SNAPSHOT_ENTRIES",
    ),
    _setting("tls", "tls.dir", _path, None, "AETHER_TLS", argument="tls"),
    _setting("http_cert", "tls.http_cert", _path, None, "AETHER_HTTP_CERT", argument="http-cert"),
    _setting("http_key", "tls.http_key", _path, None, "AETHER_HTTP_KEY", argument="http-key"),
    _setting("plain_http", "tls.plain_http", _flag, False, argument="plain-http"),
    _setting("ca_key", "tls.ca_key", _path, None, "AETHER_CA_KEY", argument="ca-key"),
    _setting("join_token", "tls.join_token", _path, None, "AETHER_JOIN_TOKEN_FILE", argument="join-token"),
    Setting(field="insecure", read=_flag, default=False, argument="insecure"),
)

FREE_SECTIONS: Final[Mapping[str, str]] = {"labels": "labels", "config": "settings", "secrets": "secrets"}
"""Sections whose keys the user chooses -> the field of NodeConfig that they fill."""

CONTROLLER: Final = "controller"
"""The section that room control reads: its keys are those of `ControllerSettings`."""

FILE_KEYS: Final[Mapping[str, frozenset[str] | None]] = {
    **{
        section: frozenset(setting.key for setting in SETTINGS if setting.section == section)
        for section in dict.fromkeys(setting.section for setting in SETTINGS if setting.section)
    },
    **dict.fromkeys((*FREE_SECTIONS, CONTROLLER), None),
}
"""section of the file -> the keys that it may hold; None = any."""
