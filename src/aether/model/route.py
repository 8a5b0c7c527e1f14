"""HTTP routes as values.

Knows: verb, path template, the method behind it, what kind of exchange it is, what its author said about it.
Never: matching (room web), parameters' types (room slice_api).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs


class RouteKind(enum.StrEnum):
    """What passes over a route."""

    CALL = "call"  # a whole request, a whole answer spelt by the node that owns the code
    RESPONSE = "response"  # the method returns an aether.Response: head first, then its bytes
    STREAM = "stream"  # the method is a stream: server-sent events or JSON lines
    WEBSOCKET = "websocket"  # messages both ways


@attrs.frozen
class Route:
    """One route of a slice: `verb` in upper case, `template` such as `/api/orders/{id}`, `method` of the contract.

    kind     what passes over it
    input    the parameter that takes what the client sends, piece by piece, as it comes: messages of a WebSocket, else
             the body; "" for none
    options  what its author said: text by name, as room slice_api spells it
    """

    verb: str
    template: str
    method: str
    idempotent: bool = False
    kind: RouteKind = RouteKind.CALL
    input: str = ""
    options: Mapping[str, str] = attrs.field(factory=dict[str, str])
