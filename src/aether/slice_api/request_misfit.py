"""A request that does not fit its route: the status it gets, and each problem where a client can find it.

Knows: JSON pointers, which part of a request a problem is in.
Never: codecs, routes, responses.
Paper: RFC 6901 (pointers, 6 in fragments), RFC 9457 (problem details).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import attrs

from aether.errors import BadInput

_STEP: Final = re.compile(r"""\.?([^.\[\]]+)|\[(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\]]*))\]""")
_SAFE: Final = "~!$&'()*+,;=:@"


@attrs.define(eq=False)
class RequestMisfit(BadInput):
    """BadInput of a request. `errors` say the same as `problems`, one by one, for machines.

    status  400 (it could not be read), 406, 415 or 422 (it was read and does not fit)
    errors  {"pointer", "detail"} inside the body, {"in", "name", "detail"} elsewhere
    """

    status: int = attrs.field(default=422, kw_only=True)
    errors: tuple[Mapping[str, str], ...] = attrs.field(default=(), kw_only=True)


def pointer(path: str) -> str:
    """A JSON pointer, as a fragment, from a path as problems write it: `lines[0].qty` -> `#/lines/0/qty`."""
    steps = (next(part for part in found if part) if any(found) else "" for found in _STEP.findall(path))
    return "#" + "".join(f"/{quote(step.replace('~', '~0').replace('/', '~1'), safe=_SAFE)}" for step in steps)


class RequestProblems:
    """The problems of one request, as they are found. malformed  its body could not be read; status  in place of 422"""

    __slots__ = ("errors", "lines", "malformed", "status")

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.errors: list[Mapping[str, str]] = []
        self.malformed: bool = False
        self.status: int = 422

    def outside(self, place: str, name: str, detail: str, below: str = "") -> None:
        """One in the path, the query, a header or a cookie."""
        self.lines.append(f"{place}.{name}{below}: {detail}")
        self.errors.append({"in": place, "name": f"{name}{below}", "detail": detail})

    def inside(self, path: str, detail: str) -> None:
        """One in the body; `path` from its root, "" for the body itself."""
        self.lines.append(f"{path or 'body'}: {detail}")
        self.errors.append({"pointer": pointer(path), "detail": detail})

    def unreadable(self, detail: str, *, status: int = 400) -> None:
        """The body is nothing that this route reads."""
        self.malformed, self.status = True, status
        if status == 415:
            self.outside("header", "content-type", detail)
        else:
            self.inside("", detail)

    def misfit(self, where: str) -> RequestMisfit:
        return RequestMisfit(
            f"the request does not fit {where}",
            tuple(self.lines),
            malformed=self.malformed,
            status=self.status,
            errors=tuple(self.errors),
        )
