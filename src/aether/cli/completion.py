"""What may stand at a place of a command line: node ids, artifacts, blueprints, updates, as a node knows them.

Knows: which argument takes what, by its name; where a node lists it.
Never: names of commands and options (click has them).
Holds: nobody waits for it: a node that does not answer within a moment has no values, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from aether.cli.param_types import TextParam

ANSWER_S: Final = 0.5
ITEMS_MAX: Final = 200

Listing = tuple[str, Callable[[Any], Iterable[str]]]
"""A path of the management API, and the values in its answer."""


def _each(rows: str, field: str) -> Callable[[Any], Iterable[str]]:
    return lambda answer: (str(row[field]) for row in answer[rows])


def _artifacts(answer: Any) -> Iterable[str]:
    """Each with its version, and without."""
    for row in answer["slices"]:
        yield row["artifact"]
        yield row["artifact"].rpartition(":")[0]


def _instances(answer: Any) -> Iterable[str]:
    return (each["instance"] for row in answer["slices"] for each in row["instances"])


def _updates(answer: Any) -> Iterable[str]:
    yield "current"
    yield from (row["updateId"] for row in answer["updates"])


_NODES: Final[Listing] = ("/members", _each("members", "id"))
_ARTIFACTS: Final[Listing] = ("/slices", _artifacts)
_INSTANCES: Final[Listing] = ("/slices/status", _instances)

LISTINGS: Final[Mapping[str, tuple[Listing, ...]]] = {
    "node": (_NODES,),
    "artifact": (_ARTIFACTS,),
    "what": (_ARTIFACTS, _INSTANCES),
    "instance": (_INSTANCES,),
    "blueprint_id": (("/blueprints", _each("blueprints", "id")),),
    "update": (("/rollouts", _updates),),
}
"""The name of an argument or option -> where its values come from."""


class Listed(TextParam):
    """A text of which a node knows the usual values; it takes any."""

    name = "text"

    def __init__(self, listings: tuple[Listing, ...]) -> None:
        self._listings = listings

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = dict.fromkeys(value for listing in self._listings for value in _values(ctx, listing))
        return [CompletionItem(value) for value in found if value.startswith(incomplete)][:ITEMS_MAX]


def _values(context: click.Context, listing: Listing) -> list[str]:
    """Of one listing; none when the node does not answer in time, or answers something else."""
    from aether.cli.connection import Connection
    from aether.cli.exits import CommandFailed
    from aether.cli.options import settings

    path, read = listing
    try:
        return list(read(Connection(settings(context), answer_s=ANSWER_S).get(path)))
    except (CommandFailed, LookupError, TypeError, AttributeError):
        return []


def with_values(command: click.Command) -> click.Command:
    """`command`, its arguments completed by what a node knows; those of commands below it too."""
    for parameter in command.params:
        listings = LISTINGS.get(parameter.name or "")
        if listings is not None and type(parameter.type) is click.types.StringParamType:
            parameter.type = Listed(listings)
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        with_values(below)
    return command
