"""The node manager of a node that takes no part.

Knows: how to do nothing for ever.
Never: reads or writes the store.
"""

from __future__ import annotations

from typing import NoReturn

import trio

from aether.model.ids import InstanceId


class IdleNodeManager:
    """Hosts nothing: for nodes that only vote or route. Such a node must publish no artifacts as available."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        task_status.started()
        await trio.sleep_forever()

    def instance_crashed(self, instance: InstanceId, error: BaseException) -> None:
        pass

    def instance_waits(self, instance: InstanceId, reason: str) -> None:
        pass
