"""How a listener is opened and bounded.

Knows: the limits of the HTTP port, their defaults, and how settings spell them.
Never: who enforces them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from aether.errors import BadInput
from aether.model import limits

PREFIX: Final = "aether.http."
"""Begins the names of settings that change limits: `aether.http.body_bytes_max = 1000000`."""
_NO_LIMITS: Final = frozenset({"bind", "port", "option"})


@attrs.frozen(kw_only=True)
class WebConfig:
    """How one listener is opened and bounded.

    bind, port         numeric address (or localhost) and port; 0 = any free one
    option             option that sets the port, named when the port is taken
    header_bytes_max   request line and header fields together; more is 431
    body_bytes_max     body after de-chunking; more is 413
    stream_bytes_max   the same for a body that its handler reads as it arrives
    header_s           from the first byte of a request to the end of its header; then 408
    body_s             for which a client may keep us waiting for its body, and a second more for each ...
    body_bytes_per_s_min  ... so many bytes that have come; then 408
    idle_s             between requests; then the connection is closed
    send_s             for which a client may keep us waiting while it takes one answer, and a second more for each ...
    send_bytes_per_s_min  ... so many bytes that it has taken; then the connection is closed
    connections_max    open at once, and at most a third of the files that the process may open (ulimit -n); one more
                       takes the place of an idle one, or is turned away with 503
    held_bytes_max     received and not answered yet, over all connections; who sends more meanwhile gets 503
    """

    bind: str = "127.0.0.1"
    port: int = 0
    option: str = "--http-port"
    header_bytes_max: int = limits.HTTP_HEADER_BYTES_MAX
    body_bytes_max: int = limits.HTTP_BODY_BYTES_MAX
    stream_bytes_max: int = limits.HTTP_STREAM_BYTES_MAX
    header_s: float = limits.HTTP_HEADER_S
    body_s: float = limits.HTTP_BODY_S
    body_bytes_per_s_min: int = limits.HTTP_BYTES_PER_S_MIN
    idle_s: float = limits.HTTP_IDLE_S
    send_s: float = limits.HTTP_SEND_S
    send_bytes_per_s_min: int = limits.HTTP_BYTES_PER_S_MIN
    connections_max: int = limits.HTTP_CONNECTIONS_MAX
    held_bytes_max: int = limits.HTTP_HELD_BYTES_MAX

    def with_settings(self, settings: Mapping[str, str]) -> WebConfig:
        """This configuration with the limits that `settings` name. Raises BadInput that lists what is wrong."""
        known = {
            field.name: isinstance(field.default, int)
            for field in attrs.fields(WebConfig)
            if field.name not in _NO_LIMITS
        }
        changes: dict[str, Any] = {}
        problems: list[str] = []
        for setting, text in settings.items():
            name = setting.removeprefix(PREFIX)
            if name == setting:
                continue
            if name not in known:
                problems.append(f"{setting}: there is no such limit; there are {', '.join(sorted(known))}")
            elif (value := _number(text, whole=known[name])) is None:
                problems.append(
                    f"{setting}: expected a {'whole ' if known[name] else ''}number above zero, got {text!r}"
                )
            else:
                changes[name] = value
        if changes.get("body_bytes_max", 0) > limits.HTTP_BODY_BYTES_MAX:
            most = f"a request travels in one frame: at most {limits.HTTP_BODY_BYTES_MAX}; stream larger bodies"
            problems.append(f"{PREFIX}body_bytes_max: {most}")
        if problems:
            raise BadInput("settings of the HTTP port", problems)
        return attrs.evolve(self, **changes)


def _number(text: str, *, whole: bool) -> float | None:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
