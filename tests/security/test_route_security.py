"""Routes that ask who comes, on whole nodes in virtual time."""

from __future__ import annotations

import json

import httpx
import pytest
import trio

import aether
from aether.errors import AetherError
from aether.kv import keys
from aether.model.access import Role
from aether.model.artifact import ArtifactBase
from aether.model.limits import DENIED_PER_MINUTE_MAX, VERIFY_S
from aether.node.route_protection import RouteProtection
from aether.security.contexts_service import web_client
from aether.testing import acting_as
from aether.web.failure_service import problem_for
from aether.web.request import Request

TEXT = """
[[slices]]
artifact = "shop:till:1.0.0"
instances = 1

[[slices]]
artifact = "shop:ledger:1.0.0"
instances = 1

[security]
"* /till/*" = "authenticated"
"GET /till/price" = "public"
"POST /till/refund" = "role:clerk"
"* /till/closed" = "deny"
"""


def who() -> str:
    principal = aether.current_principal()
    return "nobody" if principal is None else f"{principal.name}:{','.join(principal.roles)}:{dict(principal.claims)}"


@aether.slice(artifact="shop:ledger:1.0.0")
class Ledger:
    async def book(self) -> str:
        return who()


@aether.slice(artifact="shop:till:1.0.0")
class Till:
    ledger: Ledger

    @aether.get("/till/price")
    async def price(self) -> str:
        return who()

    @aether.get("/till/sum")
    async def sum(self) -> str:
        return f"{who()} {await self.ledger.book()}"

    @aether.post("/till/refund")
    async def refund(self) -> str:
        return who()

    @aether.get("/till/closed")
    async def closed(self) -> str:
        return "open!"


class Door:
    """Asks the HTTP port of one node, without a socket."""

    def __init__(self, node) -> None:
        self.node = node
        self.handler = node.slice_handler()

    async def __call__(self, verb, path, token=None, client="198.51.100.7", **headers):
        fields = {"host": "shop.example", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token is not None:
            fields["authorization"] = f"Bearer {token}"
        request = Request(verb=verb, path=path, headers=tuple(fields.items()), request_id="r", client=client, body=b"")
        try:
            response = await self.handler(request)
        except AetherError as error:
            response = problem_for(error, request)
        return response.status, json.loads(response.body), response.headers


async def verify(credentials):
    """ann is a clerk, bob is not; carol's provider is out of order, dave's is slow."""
    match credentials.bearer:
        case "ann":
            return aether.Principal(name="ann", roles=("clerk",), claims={"shop": "7"})
        case "bob":
            return aether.Principal(name="bob")
        case "carol":
            raise OSError("the identity provider does not answer")
        case "dave":
            await trio.sleep(VERIFY_S * 2)
            return aether.Principal(name="dave", roles=("clerk",))
        case _:
            return None


async def opened(aether_cluster, nodes=2):
    cluster = await aether_cluster(Till, Ledger, nodes=nodes)
    node = cluster.nodes[0]._node
    await node.operator.apply(TEXT)
    await trio.sleep(2)
    return cluster, [Door(each._node) for each in cluster.nodes]


async def token_of(cluster, name, role=Role.NOBODY, roles=()):
    return (await cluster.nodes[0]._node.operations.access.tokens.create(role, name=name, roles=roles)).text


async def test_a_route_asks_for_what_its_blueprint_says(aether_cluster):
    cluster, doors = await opened(aether_cluster)
    clerk, other = await token_of(cluster, "ann", roles=("clerk",)), await token_of(cluster, "root", Role.ADMIN)
    await trio.sleep(1)
    for door in doors:
        assert (await door("GET", "/till/price"))[:2] == (200, "nobody")
        assert (await door("GET", "/till/price", token=clerk))[1] == "nobody", "a public route asks nobody"
        status, body, headers = await door("GET", "/till/sum")
        assert (status, body["type"]) == (401, "urn:aether:no-token")
        assert headers["WWW-Authenticate"].startswith("Bearer")
        assert (await door("GET", "/till/sum", token="aether_ann_00"))[0] == 401
        assert (await door("GET", "/till/sum", token=other))[0] == 200
        assert (await door("POST", "/till/refund", token=clerk))[:2] == (200, "ann:clerk:{}")
        status, body, _ = await door("POST", "/till/refund", token=other)
        assert (status, body["needs"]) == (403, "clerk"), "roles of the cluster are no roles of the application"
        assert (await door("GET", "/till/closed", token=clerk))[0] == 403
        assert (await door("HEAD", "/till/sum"))[0] == 401


async def test_who_asked_is_known_at_every_hop_and_only_there(aether_cluster):
    cluster, doors = await opened(aether_cluster)
    text = (
        await cluster.nodes[0]._node.operations.access.tokens.create(aether.model.access.Role.NOBODY, name="ann")
    ).text
    await trio.sleep(1)

    assert (await doors[1]("GET", "/till/sum", token=text))[1] == "ann::{} ann::{}"
    assert (await doors[1]("GET", "/till/price"))[1] == "nobody"
    assert aether.current_principal() is None


async def test_a_token_that_was_revoked_opens_no_door(aether_cluster):
    cluster, doors = await opened(aether_cluster)
    keeper = cluster.nodes[0]._node.operations.access.tokens
    text = await token_of(cluster, "ann")
    assert (await doors[0]("GET", "/till/sum", token=text))[0] == 200
    await keeper.revoke("ann")

    assert (await doors[0]("GET", "/till/sum", token=text))[0] == 401


async def test_rules_follow_the_blueprint_and_outlive_the_wish(aether_cluster):
    """A slice on its way out still serves: its doors must not open in that moment."""
    cluster, (door, *_) = await opened(aether_cluster)
    operator = cluster.nodes[0]._node.operator
    await operator.apply(TEXT.replace('"POST /till/refund" = "role:clerk"', '"POST /till/refund" = "public"'))
    assert (await door("POST", "/till/refund"))[0] == 200
    await operator.apply(TEXT)
    assert (await door("POST", "/till/refund"))[0] == 401
    kv = cluster.nodes[0]._node.kv
    base = ArtifactBase.parse("shop:till")
    assert kv.get(keys.desired(base)) is not None
    await operator.undeploy("shop:till")
    seen = set()
    while kv.get(keys.routes(base)) is not None:
        seen.add((await door("POST", "/till/refund"))[0])
        await trio.sleep(0.01)
    assert seen <= {401, 503}

    fresh = Door(cluster.nodes[1]._node)
    assert (await fresh("POST", "/till/refund"))[0] in (404, 503)


def test_a_node_that_never_heard_the_rules_of_a_slice_on_its_way_out_serves_nobody():
    from aether.model.route import Route
    from aether.model.rows import RouteRow
    from aether.model.security import UNKNOWN
    from aether.web.gate_service import Gate
    from aether.web.slices import RouteTable

    row = RouteRow(artifact=ArtifactBase.parse("a:b"), routes=(Route("GET", "/a", "a"),))
    (target,) = RouteTable([row], lambda _: None).targets

    assert target.rule == UNKNOWN
    assert not Gate().is_open(target)


@aether.slice(artifact="shop:pages:1.0.0")
class Pages:
    @aether.get("/pages/{rest:path}")
    async def page(self, rest: str) -> str:
        return rest


async def test_rules_below_a_route_that_takes_all_paths_hold(aether_cluster):
    """Such as those for the parts of a mounted application, which has one route for all of them."""
    cluster = await aether_cluster(Pages, nodes=1)
    text = '[[slices]]\nartifact = "shop:pages:1.0.0"\n\n[security]\n"* /pages/admin/*" = "role:boss"\n'
    await cluster.nodes[0]._node.operator.apply(text)
    await trio.sleep(2)
    door = Door(cluster.nodes[0]._node)

    assert (await door("GET", "/pages/admins"))[:2] == (200, "admins")
    for path in ("/pages/admin/users", "/pages/%61dmin/users"):
        assert (await door("GET", path))[0] == 401
        assert (await door("HEAD", path))[0] == 401
    assert (await door("GET", "/pages/x/..%2Fadmin/users"))[0] == 403


async def test_a_verifier_of_the_application_says_who_it_is(aether_cluster):
    cluster, doors = await opened(aether_cluster, nodes=1)
    (door,) = doors
    door.handler._gate._protect._verify = verify

    assert (await door("POST", "/till/refund", token="ann"))[:2] == (200, "ann:clerk:{'shop': '7'}")
    assert (await door("POST", "/till/refund", token="bob"))[0] == 403
    assert (await door("GET", "/till/sum", token="bob"))[0] == 200
    assert (await door("GET", "/till/sum", token="eve"))[0] == 401
    assert (await door("GET", "/till/sum"))[0] == 401
    assert (await door("GET", "/till/sum", token="dave"))[0] == 503
    text = (
        await cluster.nodes[0]._node.operations.access.tokens.create(aether.model.access.Role.NOBODY, name="t")
    ).text
    assert (await door("GET", "/till/sum", token=text))[0] == 200, "tokens of the cluster count besides"


async def test_a_verifier_that_fails_lets_nobody_in(aether_cluster):
    _, (door,) = await opened(aether_cluster, nodes=1)
    door.handler._gate._protect._verify = verify

    status, body, _ = await door("GET", "/till/sum", token="carol")

    assert status == 500
    assert "identity provider" not in str(body), "what an exception says is for the log"


async def test_a_flood_of_refusals_is_slowed_for_its_client_alone():
    protection = RouteProtection(verify, lambda _: None, lambda: 0.0, "shop")

    class Target:
        rule = "role:clerk"
        shown = "GET /a"

        class route:  # noqa: N801 - as the attribute
            template = "/a"

    def ask(client, token):
        headers = (("authorization", f"Bearer {token}"),)
        return protection(Request(verb="GET", path="/a", headers=headers, client=client), Target)

    statuses = [(await ask("c1", "eve")).status for _ in range(DENIED_PER_MINUTE_MAX * 2)]

    assert statuses.count(401) == DENIED_PER_MINUTE_MAX
    assert set(statuses[DENIED_PER_MINUTE_MAX:]) == {429}
    assert (await ask("c2", "eve")).status == 401
    assert (await ask("c1", "ann")).name == "ann"


async def test_a_test_acts_as_somebody():
    with acting_as(aether.Principal(name="ann", roles=("clerk",))):
        assert await Ledger().book() == "ann:clerk:{}"
    assert await Ledger().book() == "nobody"


async def test_a_principal_that_calls_cannot_carry_is_refused():
    with pytest.raises(aether.BadInput):
        acting_as(aether.Principal(name="ann", claims={"x": "y" * 10_000}))


async def test_a_cluster_in_memory_takes_a_verifier(aether_cluster):
    cluster = await aether_cluster(Till, Ledger, nodes=1, verify=verify)
    await cluster.nodes[0]._node.operator.apply(TEXT)
    await trio.sleep(2)
    door = Door(cluster.nodes[0]._node)

    assert (await door("POST", "/till/refund", token="ann"))[:2] == (200, "ann:clerk:{'shop': '7'}")
    assert (await door("POST", "/till/refund", token="bob"))[0] == 403


@pytest.mark.parametrize("tls", [False, True])
async def test_local_nodes_take_a_verifier_and_speak_tls(tls):
    """As `Cluster.open` does: an application is tried with the parts that it is run with."""
    async with aether.Cluster.local(Till, Ledger, nodes=2, http=True, verify=verify, tls=tls) as cluster:
        node = cluster.nodes[1]
        await node._node.operator.apply(TEXT)
        assert node.http_url.startswith("https://" if tls else "http://")
        context = web_client(cluster.authorities) if tls else True
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            headers = {"Authorization": "Bearer ann"}
            with trio.fail_after(20):
                while (await client.post(f"{node.http_url}/till/refund")).status_code != 401:
                    await trio.sleep(0.05)  # until this node has applied the rules
            answer = await client.post(f"{node.http_url}/till/refund", headers=headers)
            assert answer.json() == "ann:clerk:{'shop': '7'}"
        assert all(node._node.transport.connected() for node in cluster.nodes)
        authorities = cluster.authorities
        assert (authorities is not None) == tls
    assert authorities is None or not authorities.exists(), "it is forgotten with the cluster"


def test_the_one_liner_takes_a_verifier(monkeypatch):
    from aether.cluster import runner

    ran = []
    monkeypatch.setattr(runner.trio, "run", lambda *arguments: ran.append(arguments) or 0)
    aether.run(Till, verify=verify)
    ((_, _, _, _, parts),) = ran
    assert parts.verify is verify
