"""`host:port` as text, taken apart and put together.

Knows: the spelling, brackets around IPv6 hosts included.
Never: name resolution.
"""

from __future__ import annotations

from typing import Final

from aether.errors import BadInput

PORT_MAX: Final = 65_535
_WILDCARDS: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  # recognised, not bound


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises BadInput that shows `text` and the rule."""
    host, mark, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    # ASCII digits only: int() would also take other scripts, signs and underscores.
    if not mark or not (port.isascii() and port.isdigit()) or int(port) > PORT_MAX or (":" in host and not bracketed):
        raise BadInput(f"{text!r} is no address", ("write host:port, such as 127.0.0.1:8090 or [::1]:8090",))
    return (host[1:-1] if bracketed else host), int(port)


def join_address(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_wildcard(host: str) -> bool:
    """Whether `host` means every interface, and so is no address that a peer could dial."""
    return host in _WILDCARDS
