"""The members that a node is told of at start, as text.

Knows: the spelling of founding peers and of contacts.
Never: whether anybody answers there.
"""

from __future__ import annotations

from collections.abc import Iterable

from aether.errors import BadInput
from aether.model.ids import NodeId, is_name
from aether.transport.address import split_address


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
