"""The slice handler: routes to calls, and when a node may say that a route does not exist."""

from __future__ import annotations

import json

import pytest
import trio

from aether.errors import BadInput, NoInstance, NoQuorum, NotFound, TryAgain
from aether.model.artifact import ArtifactBase
from aether.model.route import Route
from aether.model.rows import RouteRow
from aether.slice_api.http import HttpInput
from aether.web.request import Request
from aether.web.slices import Answered, FaultAnswer, RouteTable, answered
from aether.web.slices_service import SliceHandler

ORDERS = ArtifactBase("shop", "orders")
ROWS = [
    RouteRow(
        artifact=ORDERS,
        routes=(Route("POST", "/orders", "place"), Route("GET", "/orders/{order_id}", "get_order")),
    )
]


class Cluster:
    """What the handler is given, and what it did with it."""

    def __init__(self) -> None:
        self.table = RouteTable(ROWS)
        self.answer: Answered | FaultAnswer = Answered(200, "application/json", b"{}")
        self.calls: list[tuple[ArtifactBase, str, object, str]] = []
        self.ready = True
        self.state = ("ACTIVE", "")
        self.confirmations = 0
        self.on_confirm = lambda: None

    async def call(self, artifact, method, payload, request_id):
        self.calls.append((artifact, method, payload, request_id))
        return self.answer

    async def confirm(self):
        self.confirmations += 1
        await trio.sleep(0.005)
        self.on_confirm()

    def handler(self) -> SliceHandler:
        return SliceHandler(
            lambda: self.table, self.call, lambda: self.ready, state=lambda base: self.state, confirm=self.confirm
        )


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def test_a_request_becomes_a_call_with_plain_data(cluster):
    """The body stays bytes until the node that owns the code structures it."""
    request = Request(
        verb="GET",
        path="/orders/a%2Fb",
        query_text="x=1&x=2",
        headers=(("host", "h"), ("content-type", "text/x"), ("cookie", "c=d")),
        body=b"raw",
        request_id="r-1",
    )
    response = await cluster.handler()(request)
    assert (response.status, response.body) == (200, b"{}")
    ((artifact, method, payload, request_id),) = cluster.calls
    assert (artifact, method, request_id) == (ORDERS, "get_order", "r-1")
    assert HttpInput.from_plain(payload) == HttpInput(
        verb="GET",
        template="/orders/{order_id}",
        path={"order_id": "a/b"},
        query={"x": ["1", "2"]},
        headers={"host": "h", "content-type": "text/x", "cookie": "c=d"},
        cookies={"c": "d"},
        body=b"raw",
        content_type="text/x",
        target="/orders/a%2Fb?x=1&x=2",
    )
    assert cluster.confirmations == 0


async def test_a_fault_becomes_its_problem(cluster):
    """HTTP clients see the contract's own status and fields."""
    cluster.answer = FaultAnswer("OutOfStock", 409, "Out of stock", "no abc", {"sku": "abc"})
    response = await cluster.handler()(Request(verb="POST", path="/orders", request_id="r"))
    assert response.status == 409
    assert json.loads(response.body)["sku"] == "abc"


async def test_an_unknown_route_on_a_node_that_is_catching_up_is_503(cluster):
    """It may only be unknown to this node: a 404 would be a lie that caches and clients remember."""
    cluster.ready = False
    with pytest.raises(TryAgain, match="catching up"):
        await cluster.handler()(Request(verb="GET", path="/nothing"))


async def test_a_known_route_on_a_node_that_is_catching_up_is_served(cluster):
    """Serving what is known is better than refusing."""
    cluster.ready = False
    assert (await cluster.handler()(Request(verb="POST", path="/orders"))).status == 200


async def test_a_404_is_said_only_after_the_cluster_confirmed_it(cluster, autojump_clock):
    """A blueprint acknowledged by another node is reachable here at once, though this node had not heard of it yet."""
    cluster.table = RouteTable()
    cluster.on_confirm = lambda: setattr(cluster, "table", RouteTable(ROWS))
    assert (await cluster.handler()(Request(verb="POST", path="/orders"))).status == 200
    with pytest.raises(NotFound, match="no route 'GET /nothing'"):
        await cluster.handler()(Request(verb="GET", path="/nothing"))


async def test_a_wrong_verb_is_405_and_options_is_204(cluster, autojump_clock):
    """Both with Allow."""
    refused = await cluster.handler()(Request(verb="DELETE", path="/orders"))
    assert (refused.status, refused.headers["Allow"]) == (405, "OPTIONS, POST")
    assert (await cluster.handler()(Request(verb="OPTIONS", path="/orders"))).status == 204
    assert not cluster.calls


async def test_a_route_without_an_active_instance_is_no_instance_with_its_state(cluster, autojump_clock):
    """503 with Retry-After, and the reason, instead of a request that hangs."""
    cluster.state = ("ACTIVATING", "waits for shop:pricing")
    with pytest.raises(NoInstance, match="waits for shop:pricing"):
        await cluster.handler()(Request(verb="POST", path="/orders"))
    assert not cluster.calls


async def test_an_instance_that_became_active_elsewhere_is_used_at_once(cluster, autojump_clock):
    """The view of this node may lag behind what a client was already told."""
    cluster.state = ("LOADING", "")
    cluster.on_confirm = lambda: setattr(cluster, "state", ("ACTIVE", ""))
    assert (await cluster.handler()(Request(verb="POST", path="/orders"))).status == 200


async def test_without_a_majority_an_unknown_route_is_503_within_two_seconds(cluster, autojump_clock):
    """Nothing waits without a bound, and nothing is denied that cannot be known."""

    async def never() -> None:
        await trio.sleep_forever()

    handler = SliceHandler(lambda: cluster.table, cluster.call, lambda: True, confirm=never)
    began = trio.current_time()
    with pytest.raises(TryAgain, match="could not confirm its view within 2 s"):
        await handler(Request(verb="GET", path="/nothing"))
    assert trio.current_time() - began == 2.0


async def test_many_unknown_routes_share_confirmations(cluster, autojump_clock):
    """A flood of wrong paths must not become a flood of questions to the leader: one running, one for all others."""
    handler = cluster.handler()

    async def ask() -> None:
        with pytest.raises(NotFound):
            await handler(Request(verb="GET", path="/nothing"))

    async with trio.open_nursery() as nursery:
        for _ in range(1000):
            nursery.start_soon(ask)
    assert cluster.confirmations <= 2


async def test_a_failed_or_cancelled_confirmation_does_not_fail_those_who_waited_behind_it(cluster, autojump_clock):
    """The one who asked first may leave; the others then ask for themselves."""
    outcomes: list[str] = []

    async def confirm() -> None:
        cluster.confirmations += 1
        await trio.sleep(0.1)
        if cluster.confirmations == 2:
            raise NoQuorum(1, 2)

    handler = SliceHandler(lambda: cluster.table, cluster.call, lambda: True, confirm=confirm)

    async def ask(name: str, within_s: float) -> None:
        with trio.move_on_after(within_s):
            try:
                await handler(Request(verb="GET", path="/nothing"))
            except (NotFound, NoQuorum) as error:
                outcomes.append(f"{name} {type(error).__name__}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "first", 0.05)  # leaves
        await trio.sleep(0.01)
        for name in ("second", "third"):  # one of them meets NoQuorum, the other asks again
            nursery.start_soon(ask, name, 10)
    assert sorted(outcome.split(" ")[1] for outcome in outcomes) == ["NoQuorum", "NotFound"]


def test_two_slices_that_claim_one_path_leave_the_table_usable():
    """The same one wins on every node, and the other is named."""
    rival = RouteRow(artifact=ArtifactBase("alpha", "rival"), routes=(Route("POST", "/orders", "steal"),))
    for rows in ([*ROWS, rival], [rival, *ROWS]):
        table = RouteTable(rows)
        found = table.router.match("POST", "/orders")
        assert str(found.target.artifact) == "alpha:rival"  # type: ignore[union-attr]
        assert len(table.router.conflicts) == 1


@pytest.mark.parametrize(
    "payload", [None, b"x", [200, "a"], [True, "a", b""], [100, "a", b""], [200, 1, b""], [200, "a", "b"]]
)
def test_an_answer_of_another_shape_is_bad_input(payload):
    """It came over the wire."""
    with pytest.raises(BadInput, match="no HTTP form"):
        answered(payload)


def test_an_answer_of_the_agreed_shape_is_read():
    """A tuple in this process, a list over the wire."""
    for payload in ((201, "text/plain", b"x", "1.2.0"), [201, "text/plain", b"x", "1.2.0"]):
        assert answered(payload) == Answered(201, "text/plain", b"x", "1.2.0")
