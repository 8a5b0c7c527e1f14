"""Gentle chaos: one disturbance after the other, with long rests between them.

Knows: the cluster, its operator's API, signals, the faulty network.
Never: the load; whether anything grew.
Holds: WITNESS is never ended, so one process lives as long as the run; the others take turns. After each disturbance
       the cluster must be well within WELL_S.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import trio

from aether.errors import AetherError
from aether.forge.polling import until
from aether.testing.nemesis.cluster import NemesisCluster
from aether.testing.nemesis.schedule import both_ways
from aether.testing.trees import SHOP, shop_tree

WITNESS: Final = "node-1"
END_S: Final = 60.0
WELL_S: Final = 90.0

CUT_S: Final = 6.0
CONFLICT: Final = 409
VERSIONS: Final = ("1.0.0", "1.1.0")
BLUEPRINT: Final = """id = "shop"

[[slices]]
artifact = "e2e:shop:1.0.0"
instances = 3
min_available = 2
"""


def offer(slices: Path) -> None:
    """Put every version of the shop into `slices`."""
    for version in VERSIONS:
        shop_tree(slices, version)


@attrs.define
class NotDone(AetherError):
    """The harness could not do to the cluster what it wanted to."""

    what: str

    def __str__(self) -> str:
        return self.what


@attrs.define(eq=False)
class Chaos:
    """What is done to one cluster. wanted  artifact (without version) -> ACTIVE instances when it is well"""

    cluster: NemesisCluster
    wanted: Mapping[str, int]
    version: str = VERSIONS[0]
    killed: int = 0
    drained: int = 0

    async def offered(self) -> None:
        """Until every node offers every version of the shop."""

        async def is_known() -> bool:
            members = (await self.cluster.console.get(WITNESS, "/members"))["members"]
            return all(f"{SHOP}:{version}" in member["available"] for member in members for version in VERSIONS)

        await until(is_known, WELL_S, f"every node offers {SHOP}", every_s=0.2)

    async def well(self) -> float:
        """How long until every node is ready, takes a write, and sees every instance that is wanted."""
        began = trio.current_time()
        await self.cluster.wait_well(WELL_S)
        for node in self.cluster.nodes:
            await until(lambda node=node: self._sees_all(node), WELL_S, f"{node} sees {dict(self.wanted)}", every_s=0.2)
        return trio.current_time() - began

    async def _sees_all(self, node: str) -> bool:
        try:
            rows = await self.cluster.console.instances(node)
        except httpx.HTTPError:
            return False
        active = [row["artifact"].rpartition(":")[0] for row in rows if row["state"] == "ACTIVE"]
        return all(active.count(artifact) == count for artifact, count in self.wanted.items())

    async def ask(self, path: str, body: object, *, within_s: float = END_S) -> Any:
        """An operator's word through any node, repeated until one takes it."""
        said = "nobody was asked"
        with trio.move_on_after(within_s):
            while True:
                for node in self.cluster.processes.running:
                    try:
                        return await self.cluster.console.post(node, path, body=body)
                    except httpx.HTTPStatusError as error:
                        if error.response.status_code == CONFLICT:  # an earlier attempt got through, unheard
                            return None
                        said = f"{node}: {error}"
                    except httpx.HTTPError as error:
                        said = f"{node}: {error}"
                await trio.sleep(0.2)
        raise NotDone(f"POST {path} {body}: {said}")

    def victim(self) -> str:
        """Whose turn it is to end: any but the witness."""
        others = [node for node in self.cluster.nodes if node != WITNESS]
        self.killed += 1
        return others[self.killed % len(others)]

    async def leave_to(self, avoided: str) -> None:
        """Let somebody else lead than `avoided`."""
        if await self.cluster.leader() == avoided:
            other = next(node for node in self.cluster.nodes if node != avoided)
            await self.ask("/members/transfer-leader", {"node": other})

    # --- disturbances -------------------------------------------------------------------------------------------------

    async def transfer(self) -> str:
        await self.ask("/members/transfer-leader", {})
        return f"leadership handed to {await self.cluster.leader()}"

    async def kill_follower(self) -> str:
        node = self.victim()
        await self.leave_to(node)
        return await self._kill(node, "a follower")

    async def kill_leader(self) -> str:
        node = self.victim()
        if await self.cluster.leader() != node:
            await self.ask("/members/transfer-leader", {"node": node})
        return await self._kill(node, "the leader")

    async def _kill(self, node: str, what: str) -> str:
        self.cluster.may_end.add(node)
        await self.cluster.kill(node)
        await trio.sleep(CUT_S)
        await self.cluster.start_missing()
        self.cluster.may_end.discard(node)
        return f"kill -9 of {node}, {what}; back after {CUT_S:g} s"

    async def stop(self) -> str:
        """SIGTERM: a node leaves in order, and comes back."""
        node = self.victim()
        processes = self.cluster.processes
        self.cluster.may_end.add(node)
        processes.send_signal(node, signal.SIGTERM)
        await until(lambda: processes.exit_code(node) is not None, END_S, f"{node} ends after SIGTERM")
        code = processes.exit_code(node)
        if code != 0:
            raise NotDone(f"{node} ended with {code} after SIGTERM")
        self.cluster.may_end.discard(node)
        await self.cluster.start_missing()
        return f"{node} stopped and started again"

    async def drain(self) -> str:
        """A node gives its work away and takes it back; its process lives on."""
        self.drained += 1
        node = self.cluster.nodes[self.drained % len(self.cluster.nodes)]
        await self.ask(f"/nodes/{node}/drain", {})

        async def is_empty() -> bool:
            try:
                rows = await self.cluster.console.instances(WITNESS)
            except httpx.HTTPError:
                return False
            return all(row["nodeId"] != node for row in rows)

        await until(is_empty, END_S, f"{node} is empty")
        await self.ask(f"/nodes/{node}/activate", {})
        return f"{node} drained and activated again"

    async def update(self) -> str:
        """The other version of the shop, one instance after the other."""
        self.version = VERSIONS[(VERSIONS.index(self.version) + 1) % 2]
        await self.ask("/rollouts/start", {"artifact": SHOP, "version": self.version, "force": True})

        async def is_over() -> bool:
            try:
                row = await self.cluster.console.get(WITNESS, f"/rollouts/{SHOP}")
            except httpx.HTTPError:
                return False
            if row["newVersion"] == self.version and row["state"] in ("FAILED", "ROLLED_BACK"):
                raise NotDone(f"the update to {self.version} is {row['state']}: {row}")
            return row["newVersion"] == self.version and row["state"] == "COMPLETED"

        await until(is_over, 2 * END_S, f"the update to {self.version}", every_s=0.2)
        return f"rolling update of the shop to {self.version}"

    async def isolate_follower(self) -> str:
        leader = await self.cluster.leader()
        return await self._isolate(next(n for n in self.cluster.nodes if n != leader), "a follower")

    async def isolate_leader(self) -> str:
        return await self._isolate(await self.cluster.leader(), "the leader")

    async def _isolate(self, node: str, what: str) -> str:
        await self.cluster.cuts.cut(both_ways([node], self.cluster.nodes))
        try:
            await trio.sleep(CUT_S)
        finally:
            with trio.CancelScope(shield=True):
                await self.cluster.cuts.mend()
        return f"{node}, {what}, cut off for {CUT_S:g} s"

    def turns(self) -> tuple[Callable[[], Awaitable[str]], ...]:
        """One round of everything; two nodes end in it, one after the other."""
        return (
            *(self.transfer, self.isolate_follower, self.kill_follower, self.update, self.drain),
            *(self.isolate_leader, self.stop, self.transfer, self.update, self.kill_leader, self.drain),
        )
