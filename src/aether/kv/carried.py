"""What of one cluster's state another cluster may begin with: after a restore, and after the loss of the quorum.

Knows: for each kind of row whether it is a wish or data of somebody (kept), or a fact about processes and votes of the
       cluster that is gone (dropped).
Never: where the state comes from, what becomes of it.
Holds: no session, member, leadership or running instance of the old cluster is known to the new one; the revision
       never goes back; the new cluster's uuid and state hash are its own.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from aether.kv import keys
from aether.kv.keys import ClusterRow
from aether.kv.snapshot import HASH_BYTES, State
from aether.model.ids import ClusterUuid, Revision

KEPT: Final = frozenset(
    {
        "calls",
        "desired",
        "overrides",
        "rollouts",
        "singletons",
        "blueprints",
        "blueprint-current",
        "applies",
        "feature-level",
        "maps",
        "traffic",
        "settings",
        "decisions",
        "thresholds",
        "alert-sinks",
        "tokens",
        "audit",
        "revoked",
        "spent-tokens",
    }
)
DROPPED: Final = frozenset(
    {
        "cluster",
        "leadership",
        "members",
        "removed",
        "roles",
        "handover",
        "duty",
        "instances",
        "routes",
        "contracts",
        "unsatisfied",
        "alerts",
        "alerts-told",
        "denials",
    }
)
"""Written anew by whoever the new cluster consists of."""

REVISIONS_SKIPPED: Final = 1_000_000_000
"""Between the last revision that is known of the old cluster and the first of the new one: nobody ever sees a revision
twice, not even one that the old cluster gave out after the backup, unless that was a day at 10,000 writes a second."""


def carried_over(state: State, *, uuid: ClusterUuid, name: str, revision: Revision) -> State:
    """The state that a new cluster `name` begins with at `revision`, which lies above that of `state`."""
    assert revision > state.revision, f"revision {revision} is not above {state.revision}"
    rows = {key: row for key, row in state.rows.items() if key.partition("/")[0] in KEPT}
    row = ClusterRow(uuid=uuid, name=name)
    rows[keys.cluster.text] = (keys.cluster.encode(row), int(revision))
    chained = blake2b(state.hash + uuid.encode(), digest_size=HASH_BYTES).digest()
    return State(revision, state.log_time_ms, chained, sorted(rows), rows, ())
