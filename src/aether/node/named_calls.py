"""Calls made for people: a slice by its name, arguments and result as JSON.

Knows: the contracts in the store; the Invoker.
Never: code of slices; HTTP.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import trio

from aether.errors import BadInput, NoInstance, NotFound
from aether.invocation.proxy import failed_error
from aether.invocation.reply import Done, Failed, Faulted, Form, TimedOut
from aether.invocation.service import Invoker
from aether.kv import keys
from aether.kv.service import KvService
from aether.management.called import Called
from aether.model.artifact import ArtifactBase
from aether.model.rows import ContractRow
from aether.slice_api.call import PLAIN, CallOptions

SHOWN_MAX: Final = 20  # names in a message


class NamedCalls:
    """Of one node: `await calls.call("Orders", "place", {...}, deadline_s=5)`."""

    def __init__(self, kv: KvService, invoker: Invoker) -> None:
        self._kv = kv
        self._invoker = invoker

    async def call(
        self, slice_name: str, method: str, arguments: Mapping[str, object], *, deadline_s: float, key: str = ""
    ) -> Called:
        """See management.called.Calls."""
        row = self._contract(slice_name)
        base = row.artifact.base
        self._check(row, method)
        options = CallOptions(key=key) if key else PLAIN
        with trio.fail_after(deadline_s):
            reply = await self._invoker.call(base, method, dict(arguments), form=Form.JSON, options=options)
        match reply:
            case Done(payload):
                return Called(artifact=base, method=method, result=payload, revision=self._kv.revision)
            case Faulted(fault):
                shown = {
                    "name": fault.name,
                    "status": fault.status,
                    "title": fault.title,
                    "detail": fault.detail,
                    "fields": dict(fault.fields),
                }
                return Called(artifact=base, method=method, fault=shown, revision=self._kv.revision)
            case Failed():
                raise failed_error(reply)
            case TimedOut(hops):
                raise self._invoker.too_slow(hops)
            case _:
                raise NoInstance(str(base), "no instance took the call", str(reply))

    def _contract(self, name: str) -> ContractRow:
        """Of the version in force of the one slice that is called so. Raises NotFound, BadInput."""
        wanted = {row.artifact for row in self._kv.rows(keys.DESIRED)}
        rows = [row for row in self._kv.rows(keys.CONTRACTS) if row.artifact in wanted]
        found = [row for row in rows if name in _names(row)]
        if len(found) > 1:
            which = tuple(str(row.artifact.base) for row in found[:SHOWN_MAX])
            raise BadInput(f"several slices are called {name!r}", (f"say which: {', '.join(which)}",))
        if not found:
            raise NotFound("slice", name, _hint(name, (each for row in rows for each in _names(row))))
        return found[0]

    def _check(self, row: ContractRow, method: str) -> None:
        streams = {str(each["name"]): bool(each.get("stream")) for each in _said(row)["methods"]}
        if method not in streams:
            raise NotFound(f"method of {row.artifact.base}", method, _hint(method, streams))
        if streams[method]:
            problems = ("a stream has no one result; ask its HTTP route, or call it from code",)
            raise BadInput(f"{method} of {row.artifact.base} is a stream", problems)


def _said(row: ContractRow) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(row.text))


def _names(row: ContractRow) -> tuple[str, ...]:
    base: ArtifactBase = row.artifact.base
    return str(base), str(row.artifact), base.name, str(_said(row)["name"])


def _hint(name: str, known: Iterable[str]) -> str:
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names[:SHOWN_MAX]) or 'none'}"
