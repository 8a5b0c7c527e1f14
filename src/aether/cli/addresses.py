"""Where a management port is: as people type it, and as a configuration file says it.

Knows: HOST, HOST:PORT, PORT, IPv6 in brackets and without; the key of the file.
Never: asking the port.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, cast

from aether.cli.exits import CommandFailed, Exit

DEFAULT_PORT: Final = 8080
DEFAULT_CONNECT: Final = f"127.0.0.1:{DEFAULT_PORT}"
FILE_BYTES_MAX: Final = 1024 * 1024
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+")


def host_and_port(typed: str) -> str:
    """`host:port` of what was typed; a URL stays one. Raises CommandFailed: it says no address."""
    if "://" in typed:
        return typed.rstrip("/")
    if typed.isdecimal():
        host, port = "127.0.0.1", typed
    elif typed.startswith("["):
        inner, _, rest = typed[1:].partition("]")
        host, port = f"[{inner}]", rest.removeprefix(":") or str(DEFAULT_PORT)
        if not _is_ipv6(inner) or rest == ":":
            raise _no_address(typed)
    elif typed.count(":") > 1 and _is_ipv6(typed):
        host, port = f"[{typed}]", str(DEFAULT_PORT)
    else:
        host, colon, port = typed.partition(":")
        port = port if colon else str(DEFAULT_PORT)
        if not _HOST.fullmatch(host):
            raise _no_address(typed)
    if not (port.isascii() and port.isdecimal()) or not 0 < int(port[:6]) < 65536 or len(port) > 5:
        raise _no_address(typed)
    return f"{host}:{port}"


def _is_ipv6(text: str) -> bool:
    import ipaddress

    try:
        return bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def _no_address(typed: str) -> CommandFailed:
    return CommandFailed(Exit.USAGE, f"--connect {typed}: write HOST:PORT, such as {DEFAULT_CONNECT}")


def address_in(file: Path) -> str:
    """Of the node on this machine that `file`, an aether.toml, configures. Raises CommandFailed: no such file.

    Its key is `ports.management`; `cluster.ports.management` is read too, where the original has it.
    """
    import tomli

    try:
        with file.open("rb") as opened:
            raw = opened.read(FILE_BYTES_MAX + 1)
        if len(raw) > FILE_BYTES_MAX:
            raise CommandFailed(Exit.USAGE, f"--config {file} is larger than {FILE_BYTES_MAX} bytes")
        table = tomli.loads(raw.decode())
    except OSError as error:
        raise CommandFailed(Exit.USAGE, f"cannot read --config {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise CommandFailed(Exit.USAGE, f"--config {file} is no TOML: {error}") from error
    port = _at(table, "ports", "management")
    port = _at(table, "cluster", "ports", "management") if port is None else port
    if port is None:
        return DEFAULT_CONNECT
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        hint = "0 means any free port: the node prints the one that it took; give it with --connect"
        raise CommandFailed(Exit.USAGE, f"--config {file}: ports.management = {port!r} is no port to ask", hint)
    return f"127.0.0.1:{port}"


def _at(table: Any, *keys: str) -> Any:
    for key in keys:
        table = cast("dict[str, Any]", table).get(key) if isinstance(table, dict) else None
    return table
