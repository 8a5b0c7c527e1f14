"""How the group changes: from one configuration to the next, and which one is in force where in the log.

Knows: configurations, the changes that may be asked for, their spelling in entries and messages.
Never: who leads, who is caught up, how a change is decided; addresses.
Holds: voters change through a joint configuration only, one change at a time; a configuration is in force as soon as
       its entry stands in the log, and no longer once the entry is cut off.
Paper: dissertation 4.1 (in force on append), 4.3 (joint consensus); 4.2.1 (learners).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import attrs
import msgpack

from aether.consensus.quorum import Configuration
from aether.errors import BadInput, Conflict
from aether.model.ids import LogIndex, NodeId, is_name

MEMBERS_MAX: Final = 4_096
"""Names in one configuration: a message that claims more is malformed."""


@attrs.frozen(kw_only=True)
class MembershipChange:
    """What to do with whom, all at once.

    add      newcomers, as learners; promote  learners that shall vote; demote  voters that shall be learners
    remove   members that leave for ever: their ids are never used again
    """

    add: tuple[NodeId, ...] = ()
    promote: tuple[NodeId, ...] = ()
    demote: tuple[NodeId, ...] = ()
    remove: tuple[NodeId, ...] = ()

    def names(self) -> tuple[NodeId, ...]:
        """Everybody whom it touches."""
        return (*self.add, *self.promote, *self.demote, *self.remove)


def next_configuration(now: Configuration, change: MembershipChange) -> Configuration:
    """`now` with `change`: joint when the voters change. Raises Conflict (one is under way), BadInput."""
    if now.is_joint:
        raise Conflict("the membership", "a change of the voters is under way; wait until it has ended")
    problems = list(_problems(now, change))
    if problems:
        raise BadInput("this change of the membership is impossible", tuple(problems))
    gone = {*change.demote, *change.remove}
    voters = (*(voter for voter in now.voters if voter not in gone), *change.promote)
    taken = {*change.promote, *change.remove}
    learners = (*(learner for learner in now.learners if learner not in taken), *change.add)
    if set(voters) == set(now.voters):
        return Configuration(now.voters, learners=learners)
    return Configuration(voters, outgoing=now.voters, learners=learners, demoted=change.demote)


def _problems(now: Configuration, change: MembershipChange) -> Iterator[str]:
    names = change.names()
    if not names:
        yield "it changes nothing"
    if len(set(names)) != len(names):
        yield f"each node may stand in it once: {', '.join(names)}"
    members = now.members()
    yield from (f"{node} is a member already" for node in change.add if node in members)
    for nodes, kind, known in (
        (change.promote, "learner", now.learners),
        (change.demote, "voter", now.voters),
        (change.remove, "member", members),
    ):
        unknown = [node for node in nodes if node not in known]
        yield from (f"{node} is no {kind}; the {kind}s are {', '.join(known) or 'none'}" for node in unknown)
    if not set(now.voters) - {*change.demote, *change.remove} | set(change.promote):
        yield "no voter would be left"
    if len(members) + len(change.add) > MEMBERS_MAX:
        yield f"the group would have more than {MEMBERS_MAX} members"


class Configurations:
    """The configurations that one log holds, newest last. The first is what snapshot or founding left."""

    def __init__(self, index: LogIndex, configuration: Configuration) -> None:
        self._known = [(index, configuration)]

    @property
    def current(self) -> Configuration:
        """The one in force."""
        return self._known[-1][1]

    @property
    def index(self) -> LogIndex:
        """Of the entry that put it in force; 0 for the founding one."""
        return self._known[-1][0]

    def at(self, index: LogIndex) -> tuple[LogIndex, Configuration]:
        """The one in force after entry `index`, with the index of its own entry."""
        for known in reversed(self._known):
            if known[0] <= index:
                return known
        raise AssertionError(f"the configuration at {index} is compacted; known from {self._known[0][0]}")

    def includes(self, node: NodeId, until: LogIndex) -> bool:
        """Whether `node` is a member by any that is known of those up to entry `until`."""
        return any(known.has_member(node) for index, known in self._known if index <= until)

    def appended(self, index: LogIndex, payload: bytes) -> None:
        """A configuration entry joined the log. What a snapshot knows already is passed over."""
        if index > self.index:
            self._known.append((index, decode_configuration(payload)))

    def truncated(self, last: LogIndex) -> None:
        """The log ends at `last` now."""
        while self._known[-1][0] > last:
            self._known.pop()

    def compacted(self, index: LogIndex) -> None:
        """Nobody asks before `index` any more."""
        while len(self._known) > 1 and self._known[1][0] <= index:
            del self._known[0]

    def restarted(self, index: LogIndex, configuration: Configuration) -> None:
        """A snapshot replaced the log."""
        self._known = [(index, configuration)]


# --- spelling ---------------------------------------------------------------------------------------------------------


def encode_configuration(configuration: Configuration) -> bytes:
    """The payload of a configuration entry."""
    return cast("bytes", cast("Any", msgpack).packb(plain_configuration(configuration)))


def plain_configuration(configuration: Configuration) -> tuple[tuple[NodeId, ...], ...]:
    """As plain values: voters, outgoing, learners, demoted."""
    return (configuration.voters, configuration.outgoing, configuration.learners, configuration.demoted)


def decode_configuration(payload: bytes) -> Configuration:
    """Raises BadInput."""
    try:
        plain: object = cast("Any", msgpack).unpackb(payload)
    except (ValueError, TypeError) as error:
        raise BadInput("malformed configuration", (repr(error),)) from error
    return configuration_of(plain)


def configuration_of(plain: object) -> Configuration:
    """From plain values, which may be anything. Raises BadInput."""
    if not isinstance(plain, list | tuple):
        raise BadInput("malformed configuration", (f"{plain!r:.60} is no array",))
    fields = [names_of(names) for names in cast("Sequence[object]", plain)]
    if len(fields) != 4:
        raise BadInput("malformed configuration", (f"{len(fields)} lists of names, 4 expected",))
    configuration = Configuration(*fields)
    voting, learners, demoted = set(configuration.voting()), set(configuration.learners), set(configuration.demoted)
    if learners & voting or not demoted <= set(configuration.outgoing) or demoted & set(configuration.voters):
        raise BadInput("malformed configuration", (f"somebody stands in two places: {fields}",))
    return configuration


def names_of(plain: object) -> tuple[NodeId, ...]:
    """Node ids, each once, from plain values. Raises BadInput."""
    if not isinstance(plain, list | tuple):
        raise BadInput("malformed configuration", (f"{plain!r:.60} is no array of names",))
    names = cast("Sequence[object]", plain)
    if len(names) > MEMBERS_MAX:
        raise BadInput("malformed configuration", (f"{len(names)} names, at most {MEMBERS_MAX} are possible",))
    known = tuple([NodeId(name) for name in names if isinstance(name, str) and is_name(name)])
    if len(known) != len(names) or len(set(known)) != len(known):
        raise BadInput("malformed configuration", (f"{list(names)!r:.100} are no node ids, each once",))
    return known
