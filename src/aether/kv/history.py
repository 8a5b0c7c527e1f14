"""Which keys changed lately, so that a watcher that was away for a moment need not read everything again.

Knows: the keys of the last changes with the revision at which they were applied here, up to a bound; of those that were
       deleted the revision of that, which stands nowhere else.
Never: values: the newest stands in the store; deletions are told by its absence.
Holds: either every key that changed after a revision is named, or Compacted says that this is not known any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from aether.errors import Rejected
from aether.model.ids import Revision

CHANGES_KEPT_MAX: Final = 20_000
_NONE: Final[Mapping[str, Revision]] = {}


@attrs.define(eq=False)
class Compacted(Rejected):
    """Changes after `asked` are not kept any more, only those after `kept`. Read all anew, then watch from there."""

    asked: Revision
    kept: Revision

    def __str__(self) -> str:
        return (
            f"the changes after revision {self.asked} are not kept any more, only those after {self.kept}: "
            "list the rows again, and watch from the revision of that list on"
        )


class ChangeHistory:
    """The last changes, oldest first. One `applied` costs an append, however many keys changed."""

    def __init__(self, keys_max: int = CHANGES_KEPT_MAX) -> None:
        self._keys_max = keys_max
        self._batches: deque[tuple[Revision, Sequence[str], Mapping[str, Revision]]] = deque()
        self._keys = 0
        self._kept_after = Revision(0)
        self._newest: dict[str, Revision] = {}  # change under each head, as far as `_seen`
        self._seen = Revision(0)

    def applied(self, revision: Revision, changed: Sequence[str], deleted: Mapping[str, Revision] = _NONE) -> None:
        """The store is at `revision` now, and these keys changed since. deleted  those of them that are gone"""
        if not changed:
            return
        self._batches.append((revision, changed, deleted))
        self._keys += len(changed)
        while self._keys > self._keys_max:
            self._kept_after, forgotten, _ = self._batches.popleft()
            self._keys -= len(forgotten)

    def restored(self, revision: Revision) -> None:
        """The whole state was replaced: what changed is not known."""
        self._batches.clear()
        self._keys, self._kept_after = 0, revision
        self._newest.clear()
        self._seen = Revision(0)

    def after(self, revision: Revision, prefix: str) -> dict[str, Revision]:
        """Keys under `prefix` that changed after `revision`, with that of their deletion, or by which it was applied.

        One that changed shortly before, and is still there, may be among them. Raises Compacted.
        """
        if revision < self._kept_after:
            raise Compacted(revision, self._kept_after)
        self._look()
        head, slash, _ = prefix.partition("/")
        if slash and self._newest.get(head, Revision(0)) <= revision:
            return {}
        found: dict[str, Revision] = {}
        for at, changed, deleted in reversed(self._batches):
            if at <= revision:
                break
            for key in changed:
                if key.startswith(prefix):
                    found.setdefault(key, deleted.get(key, at))
        return {key: at for key, at in found.items() if at > revision}

    def _look(self) -> None:
        """See which heads changed: once for all who ask, of whom most hear that nothing of theirs did."""
        for at, changed, _ in reversed(self._batches):
            if at <= self._seen:
                break
            for head in {key.partition("/")[0] for key in changed}:
                self._newest[head] = max(at, self._newest.get(head, at))
        self._seen = self._batches[-1][0] if self._batches else self._seen
