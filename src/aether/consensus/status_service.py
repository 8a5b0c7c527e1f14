"""What a node knows about its group, for whoever waits until that changes.

Knows: the newest status that was published, who waits for another.
Never: how a status comes about.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from aether.consensus.status import ConsensusStatus

_log = logging.getLogger("aether.consensus")


class StatusBoard:
    """`publish` is for the task whose turn it is, `changed` for everybody."""

    def __init__(self, published: ConsensusStatus) -> None:
        self.published: ConsensusStatus = published
        self._changed = trio.Event()

    def publish(self, status: ConsensusStatus) -> None:
        """Wake who waits, when `status` says something new; roles and terms are logged."""
        before, self.published = self.published, status
        if before == status:
            return
        if (before.role, before.term) != (status.role, status.term):
            _log_role(status)
        self._changed.set()
        self._changed = trio.Event()

    async def changed(self, look: Callable[[], ConsensusStatus], since: ConsensusStatus) -> ConsensusStatus:
        """What `look` gives, once that differs from `since`."""
        await trio.lowlevel.checkpoint()  # a caller in a loop must not starve the task that it waits for
        while (current := look()) == since:
            await self._changed.wait()
        return current


def _log_role(status: ConsensusStatus) -> None:
    _log.info(
        "%s is %s in term %d; leader: %s; commit index %d",
        status.node,
        status.role.value,
        status.term,
        status.leader or "none known",
        status.commit_index,
    )
