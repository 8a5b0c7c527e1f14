"""What a scenario may do to a cluster, and what it may see of it: the same on processes and in memory.

A scenario knows a world alone. It waits for conditions, each with a bound, and never for time.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import attrs
import trio

T = TypeVar("T")

SHOP = "scenario:shop"
OLD, NEW = "1.0.0", "1.1.0"
"""Versions of the shop: the one that every node has from the start, and the one that `bring` makes available."""

SHOP_OLD, SHOP_NEW = f"{SHOP}:{OLD}", f"{SHOP}:{NEW}"
LEDGER = "scenario:ledger:1.0.0"
"""Every node offers SHOP_OLD and LEDGER, the classes of tests/scenarios/apps; nothing is deployed at first."""

APPS = Path(__file__).parent / "apps"


def shop_code(version: str) -> str:
    """The module of the shop in `version`."""
    return (APPS / "shop_slice.py").read_text().replace(f'VERSION = "{OLD}"', f'VERSION = "{version}"')


POLL_S = 0.1
SOON_S = 30.0
READY_S = 60.0
ANSWERS_MAX = 400
USERS = 8
PAGE_ROWS = 1_000


class Unreachable(Exception):
    """A node that cannot be asked: no process, no connection, or no answer in time."""


@attrs.frozen
class Reply:
    """headers  names in lower case"""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class World(Protocol):
    """One cluster under test.

    nodes  of the plan, "node-1" and so on, running or not; faults touch the ways between nodes, never ours to them
    """

    nodes: tuple[str, ...]

    def running(self) -> list[str]:
        """Those that were started and neither killed nor stopped; a paused one runs."""
        ...

    def now(self) -> float:
        """Seconds, of this world's clock; the one that trio.current_time has too."""
        ...

    async def request(
        self,
        node: str,
        verb: str,
        path: str,
        *,
        json: object = None,
        content: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """At the management port, as admin unless `headers` name an authorization. Raises Unreachable."""
        ...

    async def app_request(
        self,
        node: str,
        verb: str,
        path: str,
        *,
        json: object = None,
        content: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """At the port of the application. Raises Unreachable."""
        ...

    async def kill(self, node: str) -> None:
        """As SIGKILL; its data directory stays."""
        ...

    async def stop(self, node: str) -> None:
        """As SIGTERM: the node drains; returns when it has ended, by itself."""
        ...

    async def start(self, node: str, *, wipe: bool = False) -> None:
        """Begin to run a node that does not, at its address and with its data directory; it may not be ready yet."""
        ...

    async def pause(self, node: str) -> None: ...
    async def resume(self, node: str) -> None: ...

    async def partition(self, *groups: Collection[str]) -> None:
        """Cut all ways between `groups`, in addition to what is cut; nodes of one group still reach each other."""
        ...

    async def cut(self, sender: str, receiver: str) -> None:
        """Nothing that `sender` sends reaches `receiver`; the other way stays."""
        ...

    async def delay(self, node: str, seconds: float) -> None:
        """Whatever goes from and to `node` takes so much longer, each way."""
        ...

    async def heal(self) -> None:
        """Undo every cut and delay."""
        ...

    async def bring(self, version: str) -> None:
        """Make `version` of the shop available to all nodes that run; returns when all of them offer it."""
        ...


# --- waiting ----------------------------------------------------------------------------------------------------------


async def until(check: Callable[[], Awaitable[T]], within_s: float, what: str) -> T:
    """The first true answer of `check`; Unreachable, an AssertionError or a missing field is an answer, too: not yet.

    Raises AssertionError after `within_s` that says what was waited for and what was seen last.
    """
    seen: object = "nothing"
    with trio.move_on_after(within_s):
        while True:
            try:
                answer = await check()
                if answer:
                    return answer
                seen = answer
            except (Unreachable, AssertionError, LookupError) as error:
                seen = f"{type(error).__name__}: {error}"
            await trio.sleep(POLL_S)
    raise AssertionError(f"not within {within_s:g} s: {what}; seen last: {seen!s:.2000}")


async def get(world: World, node: str, path: str) -> Any:
    """The JSON of a GET at the management port that must succeed."""
    reply = await world.request(node, "GET", path)
    assert reply.status == 200, f"GET {path} at {node}: {reply.status} {reply.text:.500}"
    return reply.json()


async def post(world: World, node: str, path: str, body: object = None, *, status: int = 200) -> Any:
    """The JSON of a POST at the management port that must answer `status`."""
    reply = await world.request(node, "POST", path, json={} if body is None else body)
    assert reply.status == status, f"POST {path} at {node}: {reply.status} {reply.text:.500}"
    return reply.json()


async def ready(world: World, *nodes: str, within_s: float = READY_S) -> None:
    """Until `nodes`, or all that run, should be sent requests."""
    for node in nodes or tuple(world.running()):

        async def is_ready(node: str = node) -> bool:
            reply = await world.request(node, "GET", "/health/ready")
            assert reply.status == 200, reply.text
            return True

        await until(is_ready, within_s, f"{node} is ready")


# --- who leads, who is there ------------------------------------------------------------------------------------------


async def statuses(world: World, nodes: Sequence[str] = ()) -> dict[str, Any]:
    return {node: await get(world, node, "/status") for node in nodes or world.running()}


async def leader_of(world: World, *, among: Sequence[str] = (), within_s: float = SOON_S) -> str:
    """The one node that all of `among` (those that run) name as their leader in one term, itself one of them."""
    nodes = list(among) or world.running()

    async def agreed() -> str:
        seen = await statuses(world, nodes)
        words = {(each["leader"], each["term"]) for each in seen.values()}
        assert len(words) == 1, words
        leader, _ = words.pop()
        assert leader in nodes, f"{leader!r} of {nodes}"
        assert [node for node in nodes if seen[node]["isLeader"]] == [leader], seen
        return leader

    return await until(agreed, within_s, f"{', '.join(nodes)} agree on a leader among them")


async def quorum(world: World, *, among: Sequence[str] = (), within_s: float = SOON_S) -> None:
    """Until each of `among` (those that run) has a confirmed majority, and reaches exactly the others of them."""
    nodes = list(among) or world.running()

    async def reached() -> bool:
        for node in nodes:
            health = await get(world, node, "/health")
            assert health["quorum"] is True, (node, health)
            assert health["nodeCount"] == len(nodes), (node, health)
            assert health["connectedPeers"] == len(nodes) - 1, (node, health)
            assert sorted((await get(world, node, "/nodes"))["nodes"]) == sorted(nodes), node
        return True

    await until(reached, within_s, f"a quorum of {', '.join(nodes)}")


async def other_than(world: World, *nodes: str) -> str:
    """The last running node that is none of `nodes`."""
    return [node for node in world.running() if node not in nodes][-1]


# --- slices -----------------------------------------------------------------------------------------------------------


async def instances_by_state(world: World, node: str, artifact: str) -> dict[str, list[str]]:
    """state -> the nodes of the instances of `artifact` in it, as `node` sees them; sorted, a node once each."""
    for each in (await get(world, node, "/slices/status"))["slices"]:
        if each["artifact"] == artifact:
            states: dict[str, list[str]] = {}
            for instance in each["instances"]:
                states.setdefault(instance["state"], []).append(instance["nodeId"])
            return {state: sorted(nodes) for state, nodes in states.items()}
    return {}


async def active(
    world: World, artifact: str, count: int, *, at: Sequence[str] = (), within_s: float = 60.0
) -> list[str]:
    """Until every node of `at` (those that run) sees `count` instances, all ACTIVE on running nodes; where they are."""
    nodes = list(at) or world.running()
    where: list[str] = []

    async def seen() -> bool:
        nonlocal where
        views = {node: await instances_by_state(world, node, artifact) for node in nodes}
        for node, states in views.items():
            where = states.get("ACTIVE", [])
            assert set(states) == ({"ACTIVE"} if count else set()), (node, states)
            assert len(where) == count, (node, states)
            assert set(where) <= set(world.running()), (node, states)
        assert all(states == views[nodes[0]] for states in views.values()), views
        return True

    await until(seen, within_s, f"{count} of {artifact} are ACTIVE, as {', '.join(nodes)} see it")
    return where


async def deploy(world: World, artifact: str, count: int, *, by: str = "") -> list[str]:
    """Want so many, and wait until all of them are ACTIVE in the eyes of every running node; where they are."""
    node = by or world.running()[0]
    said = await post(world, node, "/deploy", {"artifact": artifact, "instances": count})
    assert (said["status"], said["artifact"], said["instances"]) == ("deployed", artifact, count), said
    return await active(world, artifact, count)


async def listed(world: World, node: str) -> dict[str, Any]:
    """artifact -> its row of GET /slices at `node`."""
    return {each["artifact"]: each for each in (await get(world, node, "/slices"))["slices"]}


# --- users ------------------------------------------------------------------------------------------------------------


@attrs.define
class Seen:
    """What users saw. answers  by status and the `version` of the body; marks  of instances that answered"""

    answers: Counter[tuple[int, str]] = attrs.field(factory=Counter)
    marks: Counter[str] = attrs.field(factory=Counter)
    failures: list[str] = attrs.field(factory=list)

    @property
    def requests(self) -> int:
        return self.answers.total() + sum(failure.startswith("Unreachable") for failure in self.failures)

    @property
    def versions(self) -> Counter[str]:
        """Of successful answers."""
        return Counter({version: n for (status, version), n in self.answers.items() if 200 <= status < 300})

    def forget(self) -> None:
        """Begin to count anew."""
        self.answers.clear()
        self.marks.clear()
        self.failures.clear()


async def _ask(world: World, seen: Seen, node: str, verb: str, path: str) -> None:
    at_s = world.now()
    try:
        reply = await world.app_request(node, verb, path)
    except Unreachable as error:
        seen.failures.append(f"Unreachable {node} at {at_s:.2f}: {error}")
        return
    said = reply.json() if reply.ok else {}
    fields = said if isinstance(said, dict) else {}
    seen.answers[reply.status, fields.get("version", "")] += 1
    if reply.ok:
        seen.marks[fields.get("mark", "")] += 1
    else:
        seen.failures.append(f"{reply.status} from {node} at {at_s:.2f}: {reply.text:.500}")


@contextlib.asynccontextmanager
async def load(
    world: World, path: str = "/shop/version", every_s: float = 0.05, *, via: Sequence[str] = (), verb: str = "GET"
) -> AsyncGenerator[Seen]:
    """Users who ask for `path` at each node of `via` in turn (those that run now), one request every `every_s`.

    They wait for no answer before they send the next request; leaving the block waits for the last answers.
    """
    nodes = list(via) or world.running()
    seen, ended = Seen(), trio.Event()

    async def users() -> None:
        async with trio.open_nursery() as nursery:
            number = 0
            while not ended.is_set():
                if len(nursery.child_tasks) < ANSWERS_MAX:
                    nursery.start_soon(_ask, world, seen, nodes[number % len(nodes)], verb, path)
                    number += 1
                with trio.move_on_after(every_s):
                    await ended.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(users)
        try:
            yield seen
        finally:
            ended.set()


async def served(world: World, seen: Seen, count: int, *, within_s: float = SOON_S) -> None:
    """Until `count` more requests have been answered."""
    goal = seen.requests + count

    async def enough() -> bool:
        return seen.requests >= goal

    await until(enough, within_s, f"{count} more requests are answered")


async def asked(world: World, count: int, path: str = "/shop/version", *, via: Sequence[str] = ()) -> Seen:
    """What `count` requests got, sent to each node of `via` in turn, a few at a time."""
    nodes, seen = list(via) or world.running(), Seen()
    numbers = iter(range(count))

    async def user() -> None:
        for number in numbers:
            await _ask(world, seen, nodes[number % len(nodes)], "GET", path)

    async with trio.open_nursery() as nursery:
        for _ in range(USERS):
            nursery.start_soon(user)
    return seen


# --- what was acknowledged --------------------------------------------------------------------------------------------


class Ledger:
    """Entries of the ledger slice that this test was told are written."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.acknowledged: dict[str, int] = {}

    async def put(self, via: str, within_s: float = SOON_S) -> None:
        """Write one more entry through `via`: a PUT, which may be said again while it is refused."""
        number = len(self.acknowledged) + 1
        name = f"entry-{number}"

        async def written() -> bool:
            reply = await self._world.app_request(via, "PUT", f"/ledger/{name}", json={"value": number})
            assert reply.status == 200, f"{reply.status} {reply.text:.500}"
            return True

        await until(written, within_s, f"{name} is written through {via}")
        self.acknowledged[name] = number

    async def everywhere(self, *, at: Sequence[str] = (), within_s: float = SOON_S) -> None:
        """Until each of `at` (those that run) holds exactly what was acknowledged, in its own copy."""
        assert len(self.acknowledged) < PAGE_ROWS
        for node in list(at) or self._world.running():

            async def same(node: str = node) -> bool:
                page = await get(self._world, node, f"/maps/entries?limit={PAGE_ROWS}")
                rows = {each["key"]: each["value"] for each in page["entries"]}
                assert rows == self.acknowledged, f"{node} has {rows}, acknowledged were {self.acknowledged}"
                return True

            await until(same, within_s, f"{node} holds what was acknowledged")


async def open_ledger(world: World, count: int = 1) -> Ledger:
    """The ledger slice, ACTIVE `count` times."""
    await deploy(world, LEDGER, count)
    return Ledger(world)


async def healthy(world: World, *nodes: str) -> None:
    """Until each of `nodes` (those that run) calls itself healthy, and has nothing to complain of."""
    for node in nodes or tuple(world.running()):

        async def is_healthy(node: str = node) -> bool:
            health = await get(world, node, "/health")
            assert (health["status"], health["ready"]) == ("healthy", True), health
            assert "error" not in health
            return True

        await until(is_healthy, SOON_S, f"{node} is healthy")


async def acknowledge_nothing(world: World, *nodes: str) -> None:
    """Each of `nodes`, which have no quorum, acknowledges no write (503; 504: it may happen) and no confirmed read."""

    async def refuses(node: str) -> None:
        written = await world.request(node, "POST", "/deploy", json={"artifact": SHOP_OLD, "instances": 1})
        assert written.status in (503, 504), written.text
        read = await world.request(node, "GET", "/slices?consistent=true")
        assert read.status == 503, read.text

    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(refuses, node)
