"""Where the parameters of an HTTP method come from.

Knows: path templates, the markers Query, Body, Header and Cookie, the plain form of a request.
Never: sockets, status codes, routing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import attrs

from aether.errors import BadInput
from aether.slice_api.exchange import Body
from aether.slice_api.misfit import array


@attrs.frozen
class Query:
    """`Annotated[T, aether.Query()]`: from the query string, under `name` or the parameter's name."""

    name: str | None = None


@attrs.frozen
class Header:
    """`Annotated[T, aether.Header()]`: from a header, under `name` or the parameter's name with `-` for `_`."""

    name: str | None = None


@attrs.frozen
class Cookie:
    """`Annotated[T, aether.Cookie()]`: from a cookie, under `name` or the parameter's name."""

    name: str | None = None


Marker = Query | Body | Header | Cookie


_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class HttpInput(NamedTuple):
    """One request as plain data: what the router found, nothing structured yet.

    A NamedTuple, because each request makes one, which is the payload of its call: msgpack spells it as `to_plain()`,
    and a call inside the node hands it over as it is.

    verb, template  of the matched route, as in model.Route (HEAD may be answered by a route of GET)
    path            template variable -> percent-decoded text
    query           name -> every value, in order, decoded
    headers         lower-case name -> value; cookies  name -> value
    body            raw; content_type  as sent ("" when absent)
    target          path and query, raw; client  address of the peer at the edge
    """

    verb: str
    template: str
    path: Mapping[str, str] = _NONE
    query: Mapping[str, Sequence[str]] = _NONE
    headers: Mapping[str, str] = _NONE
    cookies: Mapping[str, str] = _NONE
    body: bytes = b""
    content_type: str = ""
    target: str = ""
    client: str = ""

    def to_plain(self) -> list[Any]:
        """The array form that travels, in the order of the fields."""
        query = {name: list(values) for name, values in self.query.items()}
        return [
            self.verb, self.template, dict(self.path), query, dict(self.headers), dict(self.cookies), self.body,
            self.content_type, self.target, self.client,
        ]  # fmt: skip

    @classmethod
    def from_plain(cls, plain: object) -> HttpInput:
        """Read `to_plain()`'s array. Raises BadInput when a part is missing or of another type."""
        if type(plain) is HttpInput:  # made by this process, not by a peer
            return plain
        parts = array(plain, (str, str, dict, dict, dict, dict, bytes, str, str, str))
        if parts is None or not _texts_throughout(*parts[2:6]):
            raise BadInput("malformed HTTP request in a call", (f"expected 10 parts of text, got {plain!r:.80}",))
        verb, template, path, query, headers, cookies, body, content_type, target, client = parts
        return cls(
            verb=verb, template=template, path=path, query=query, headers=headers, cookies=cookies, body=body,
            content_type=content_type, target=target, client=client,
        )  # fmt: skip


def _texts_throughout(path: Any, query: Any, headers: Any, cookies: Any) -> bool:
    singles = all(type(k) is str and type(v) is str for part in (path, headers, cookies) for k, v in part.items())
    return singles and all(
        type(name) is str and type(values) is list and all(type(value) is str for value in values)
        for name, values in query.items()
    )
