"""What can go wrong, sorted by what the caller should do next.

Knows: facts about a failure, as fields; the words of each message.
Never: behaviour that waits, I/O, the rooms that raise these errors.
Holds: every error a user can meet is a leaf of TryAgain, Rejected, OutcomeUnknown or CallFailed;
       an error that only the next room catches lives in its own room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

__all__ = [
    "AddressInUse",
    "AetherError",
    "BadInput",
    "CallFailed",
    "Conflict",
    "ContractError",
    "DataDirectoryInUse",
    "Draining",
    "EntriesLost",
    "IdentityMismatch",
    "NoInstance",
    "NoQuorum",
    "NotFound",
    "NotInContract",
    "NotLeader",
    "OutcomeUnknown",
    "Overloaded",
    "QuotaExceeded",
    "Rejected",
    "Removed",
    "SessionExpired",
    "SessionFull",
    "StateDiverged",
    "StorageCorrupt",
    "StorageFailed",
    "StorageFull",
    "StreamBroken",
    "TakenBack",
    "TryAgain",
]


class AetherError(Exception):
    """Root of the tree. Never raised itself; caught only at a process edge (CLI exit code, HTTP 500)."""


class TryAgain(AetherError):
    """It did not happen and may succeed later. Safe to repeat. HTTP 503."""


class Rejected(AetherError):
    """It did not happen and never will as asked. Change the request. HTTP 4xx."""


class OutcomeUnknown(AetherError):
    """It may have happened. Repeat only what is idempotent. HTTP 504."""

    def __init__(self, message: str = "the outcome is unknown: it may have happened") -> None:
        super().__init__(message)


# --- TryAgain ---------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class NotLeader(TryAgain):
    """Proposed to a node that does not lead. `leader` is its best guess; None in an election."""

    node: str
    leader: str | None = None

    def __str__(self) -> str:
        return f"{self.node} does not lead; try {self.leader or 'again after the election'}"


@attrs.define(eq=False)
class NoQuorum(TryAgain):
    """A majority of the voters did not answer in time, so nothing was decided.

    reachable  voters connected with the node that says so, itself included; wanted  voters that make a majority
    """

    reachable: int
    wanted: int

    def __str__(self) -> str:
        if self.reachable >= self.wanted:
            return (
                f"no quorum: {self.reachable} voters are connected and {self.wanted} are needed, "
                "but they did not decide in time; look for a stalled disk or loop, and try again"
            )
        return f"no quorum: {self.reachable} of the {self.wanted} voters needed are reachable; start the missing nodes"


@attrs.define(eq=False)
class NoInstance(TryAgain):
    """No instance could take the call before its deadline. `state` and `reason` say why."""

    artifact: str
    state: str
    reason: str = ""

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"no ACTIVE instance of {self.artifact} ({self.state}){why}"


@attrs.define(eq=False)
class Overloaded(TryAgain):
    """The queue in front of `what` is full; repeat after `retry_after_s` seconds. HTTP 429."""

    what: str
    limit: int
    retry_after_s: float = 1.0

    def __str__(self) -> str:
        return f"{self.what} has {self.limit} waiting already; repeat in {self.retry_after_s:.1f} s"


@attrs.define(eq=False)
class Draining(TryAgain):
    """The node is leaving and takes no new work; another node will."""

    node: str

    def __str__(self) -> str:
        return f"{self.node} is draining; ask another node"


@attrs.define(eq=False)
class StorageFull(TryAgain):
    """The disk has no room for `needed_bytes` more. Nothing was written."""

    path: str
    needed_bytes: int

    def __str__(self) -> str:
        return f"no space for {self.needed_bytes} bytes at {self.path}; free some, then it goes on by itself"


# --- Rejected ---------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class BadInput(Rejected):
    """Input from outside does not fit. `problems` lists every `path: what is wrong` at once. HTTP 400 or 422.

    malformed  it could not even be read (no JSON, say): HTTP 400; otherwise it was read and does not fit
    """

    what: str
    problems: Sequence[str] = ()
    malformed: bool = attrs.field(default=False, kw_only=True)

    def __str__(self) -> str:
        return self.what if not self.problems else f"{self.what}: " + "; ".join(self.problems)


@attrs.define(eq=False)
class NotFound(Rejected):
    """There is no `kind` named `name`. HTTP 404."""

    kind: str
    name: str
    hint: str = ""

    def __str__(self) -> str:
        return f"no {self.kind} {self.name!r}" + (f"; {self.hint}" if self.hint else "")


@attrs.define(eq=False)
class Conflict(Rejected):
    """Somebody else changed `what` first, or it is in a state that forbids the request. HTTP 409."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class TakenBack(Conflict):
    """`what` began as asked, failed, and everything is as before. HTTP 409."""


@attrs.define(eq=False)
class QuotaExceeded(Rejected):
    """A replicated map is full. `limit` is in `unit` ("entries" or "bytes"). HTTP 409."""

    what: str
    limit: int
    unit: str

    def __str__(self) -> str:
        return f"{self.what} holds its limit of {self.limit} {self.unit}; delete some or raise the limit"


class ContractError(Rejected):
    """A slice class breaks a rule of its contract. The message shows the class, the rule and the fix."""


@attrs.define(eq=False)
class NotInContract(Rejected, AttributeError):
    """A call names something that the contract does not offer."""

    contract: str
    method: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.contract} offers no {self.method!r}" + (f"; {self.hint}" if self.hint else "")


@attrs.define(eq=False)
class AddressInUse(Rejected):
    """A port is taken. Names the address and the option that sets it."""

    address: str
    option: str

    def __str__(self) -> str:
        return (
            f"{self.address} is taken by another process; choose another with {self.option}, or {self.option}=0 for any"
        )


@attrs.define(eq=False)
class DataDirectoryInUse(Rejected):
    """Another live process holds the lock of this data directory."""

    path: str

    def __str__(self) -> str:
        return f"{self.path} is in use by another running node; stop it, or give this node its own --data-dir"


@attrs.define(eq=False)
class IdentityMismatch(Rejected):
    """A node or store is not who the cluster remembers. `fix` is the command to run."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}. {self.fix}"


class Removed(IdentityMismatch):
    """A node was removed from its cluster. Its id is never used again."""


@attrs.define(eq=False)
class StorageCorrupt(Rejected):
    """A complete record does not match its checksum, or files contradict each other. Nothing was changed."""

    path: str
    offset: int
    what: str
    fix: str = (
        "`aether wal verify` says more. While a majority of the others works: remove this node from the cluster, and "
        "add it anew, under a new id and with an empty directory"
    )

    def __str__(self) -> str:
        return f"{self.path} at byte {self.offset}: {self.what}. {self.fix}"


# --- OutcomeUnknown ---------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class SessionExpired(OutcomeUnknown):
    """The session that would recognise a repeat is gone, so whether the first try happened cannot be known."""

    session: int

    def __str__(self) -> str:
        return f"session {self.session} has ended; whether the request happened is unknown"


@attrs.define(eq=False)
class StreamBroken(OutcomeUnknown):
    """A stream ended before its generator did. The `received` items before it are all there, in order.

    stream  `Pricing.ticks`; reason  the connection was lost, or the instance stopped
    """

    stream: str
    received: int
    reason: str

    def __str__(self) -> str:
        return (
            f"the stream {self.stream} broke after {self.received} items: {self.reason}; open it again, from where you "
            "left off if its method can tell"
        )


# --- others -----------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class SessionFull(TryAgain):
    """Too many answers of one session are unacknowledged; wait for some to be read."""

    session: int
    limit: int

    def __str__(self) -> str:
        return f"session {self.session} has {self.limit} unacknowledged answers; wait for some of them first"


@attrs.define(eq=False)
class StateDiverged(AetherError):
    """The state of `node` at `revision` is not that of the majority. The node stops, so that nobody reads it.

    Either it runs other code than the others, or its memory or disk changed what was written.
    """

    node: str
    revision: int

    def __str__(self) -> str:
        return (
            f"the state of {self.node} at revision {self.revision} differs from that of the majority. The node stops: "
            f"keep its data directory for analysis, remove the member, and join a node with a new id"
        )


@attrs.define(eq=False)
class EntriesLost(AetherError):
    """The log of this node lacks entries that it has acknowledged: up to `committed`, where it ends at `last`.

    Its disk forgot what it had said to be durable. The node stops: it cannot vouch for anything that it has promised.
    """

    committed: int
    last: int

    def __str__(self) -> str:
        return (
            f"commit index {self.committed} lies beyond the log, which ends at {self.last}: the disk has lost what "
            "this node had stored and acknowledged. The node stops. While a majority of the others works: check the "
            "disk, remove this node from the cluster (`aether members remove`), and join one with a new id"
        )


@attrs.define(eq=False)
class StorageFailed(AetherError):
    """A write or fdatasync failed. The node stops, and this process never writes that store again.

    After a failed fsync the kernel may have dropped the dirty pages, so a retry could report success for lost data
    (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"storage failed at {self.path}: {self.reason}. The node stops; check the disk, then start it again"


@attrs.define(eq=False)
class CallFailed(AetherError):
    """A slice method raised something that is not part of its contract. HTTP 500.

    kind, message  class name and text of the callee's exception; remote_traceback  its frames, the runtime's trimmed
    slice, method, instance, node  where it ran; attempt  which try of this call (1 = first)
    request_id  under which the logs of all nodes have it
    fields  of a Fault that this side does not know, as between two versions of a contract: `kind` is its name then
    """

    kind: str
    message: str
    slice: str = ""
    method: str = ""
    instance: str = ""
    node: str = ""
    attempt: int = 1
    remote_traceback: str = ""
    request_id: str = ""
    fields: Mapping[str, object] = attrs.field(factory=dict[str, object])

    def __str__(self) -> str:
        where = f" in {self.slice}.{self.method}" if self.slice else ""
        at = f" (instance {self.instance} on {self.node})" if self.instance else ""
        return f"{self.kind}: {self.message}{where}{at}"
