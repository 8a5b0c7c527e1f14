"""One instance of this process, as the loop of its node knows it.

Knows: its rows as they were looked at, how far it has come, the work in progress.
Never: which step comes next, what is written.
"""

from __future__ import annotations

from typing import Final

import attrs
import trio

from aether.kv import keys
from aether.kv.key_kinds import Key
from aether.model.artifact import Artifact
from aether.model.ids import InstanceId, Revision
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, RouteRow

_ABSENT: Final = Revision(0)


@attrs.define(eq=False)
class OwnInstance:
    """One instance of this process, and how far it has come whatever its row says.

    seen      its row at the last look at all rows; row, version  at the last look at it alone
    running   it was started and not yet stopped; wish  the desired row that it was started for
    attempt   the scope of the work in progress; ended is why it was cancelled from outside
    during    LOADING or ACTIVATING while that is under way and the row may not say so yet; is_shown  it is to say so
    """

    instance: InstanceId
    artifact: Artifact
    key: Key[InstanceRow] = attrs.field(init=False)
    woken: trio.Event = attrs.field(factory=trio.Event)
    seen: InstanceRow | None = None
    row: InstanceRow | None = None
    version: Revision = _ABSENT
    running: bool = False
    unloaded: bool = False
    routes: RouteRow | None = None
    wish: DesiredRow | None = None
    attempt: trio.CancelScope | None = None
    ended: str = ""
    during: SliceState | None = None
    is_shown: bool = False
    crash: str | None = None
    waits_for: str = ""
    unloads_failed: int = 0
    digest: str = ""

    def __attrs_post_init__(self) -> None:
        self.key = keys.instance(self.artifact.base, self.instance)

    def wake(self) -> None:
        """Something about it has changed: its task looks again."""
        self.woken.set()
        self.woken = trio.Event()

    def give_up(self, why: str) -> None:
        """End the work in progress, if there is some."""
        if self.attempt is not None:
            self.ended = why
            self.attempt.cancel()
