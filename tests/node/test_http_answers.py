"""What the HTTP port of a node says when slices disagree or stop half-way."""

import httpx
import pytest
import trio

import aether
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.model.rows import DesiredRow, RouteRow
from aether.slice_api.contract import contract_of


@aether.slice(artifact="tests.answers:first:1.0.0")
class First:
    @aether.get("/same/{a}")
    async def same(self, a: str) -> str:
        return "first"


@aether.slice(artifact="tests.answers:second:1.0.0")
class Second:
    @aether.get("/same/{b}")
    async def same(self, b: str) -> str:
        return "second"


@aether.slice(artifact="tests.answers:busy:1.0.0")
class Busy:
    @aether.post("/busy")
    async def busy(self) -> None:
        raise aether.Overloaded("the warehouse", 10)

    @aether.post("/unsure")
    async def unsure(self) -> None:
        raise aether.OutcomeUnknown("a call of ours was cut off")

    @aether.post("/wrong")
    async def wrong(self) -> None:
        raise ValueError("no")


@aether.slice(artifact="tests.answers:middle:1.0.0")
class Middle:
    busy: Busy

    @aether.get("/middle", idempotent=False)
    async def middle(self) -> None:
        await self.busy.busy()


@aether.slice(artifact="tests.answers:outer:1.0.0")
class Outer:
    middle: Middle

    @aether.get("/outer", idempotent=False)
    async def outer(self) -> None:
        await self.middle.middle()


class SoldOut(aether.Fault):
    """Nothing left."""

    status = 409
    sku: str


class Unknown(aether.Fault):
    """Never heard of it."""

    status = 404


@aether.slice(artifact="tests.answers:many:1.0.0", deadline_s=20)
class Many:
    @aether.get("/alike")
    async def alike(self) -> None:
        raise ExceptionGroup("lines", [SoldOut(sku="a"), SoldOut(sku="b")])

    @aether.get("/one")
    async def one(self) -> None:
        raise ExceptionGroup("lines", [SoldOut(sku="a")])

    @aether.get("/mixed")
    async def mixed(self) -> None:
        raise ExceptionGroup("lines", [SoldOut(sku="a"), Unknown()])

    @aether.get("/hasty", deadline_s=0.05)
    async def hasty(self) -> None:
        await trio.sleep_forever()

    @aether.get("/hurried")
    async def hurried(self) -> None:
        with trio.fail_after(0.01):
            await trio.sleep_forever()


async def test_two_slices_that_claim_one_path_are_named_once(caplog):
    """Half of the team wonders why its route answers with somebody else's data."""
    with pytest.raises(aether.ContractError, match=r"First\.same serves .*, and Second\.same serves"):
        async with aether.Cluster.open(First, Second):
            pass
    async with aether.Cluster.open(First, http=0) as cluster, httpx.AsyncClient(trust_env=False) as client:
        contract = contract_of(Second)  # another node opened it in the same moment
        row = RouteRow(artifact=contract.artifact.base, routes=contract.routes)
        wish = DesiredRow(artifact=contract.artifact, instances=0, blueprint="app")
        both = (Put(keys.desired(row.artifact), wish), Put(keys.routes(row.artifact), row))
        await cluster.kv.propose(Batch((), both))
        for _ in range(3):
            assert (await client.get(f"{cluster.http_url}/same/x")).json() == "first"

    said = [record.getMessage() for record in caplog.records if "claim one path" in record.getMessage()]
    assert len(said) == 1
    assert "tests.answers:first" in said[0]
    assert "tests.answers:second" in said[0]


async def test_a_method_stopped_half_way_by_its_own_calls_may_be_repeated(caplog):
    """500 says "a defect, do not repeat"; but a node died, or something was full, and a repeat will do."""
    async with aether.Cluster.open(Busy, http=0) as cluster, httpx.AsyncClient(trust_env=False) as client:
        statuses = {
            path: (await client.post(f"{cluster.http_url}/{path}")).status_code for path in ("busy", "unsure", "wrong")
        }

    assert statuses == {"busy": 504, "unsure": 504, "wrong": 500}


async def test_how_many_slices_lie_between_makes_no_difference(caplog):
    """The one at the front only passes on that something behind it was full; and no traceback fills the log."""
    async with (
        aether.Cluster.open(Busy, Middle, Outer, http=0) as cluster,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        for path in ("middle", "outer"):
            answer = await client.get(f"{cluster.http_url}/{path}")
            assert answer.status_code == 504
            assert "the warehouse has 10 waiting already" in answer.json()["detail"]

    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]


async def test_a_group_of_faults_is_answered_by_its_leaves():
    """Nurseries wrap what their tasks raise; that must cost no client its 409."""
    async with aether.Cluster.open(Many, http=0) as cluster, httpx.AsyncClient(trust_env=False) as client:
        alike, one, mixed = [await client.get(f"{cluster.http_url}/{path}") for path in ("alike", "one", "mixed")]

    assert alike.status_code == 409
    assert [(f["fault"], f["sku"], f["detail"]) for f in alike.json()["faults"]] == [
        ("SoldOut", "a", "Nothing left."),
        ("SoldOut", "b", "Nothing left."),
    ]
    assert (one.status_code, one.json()["sku"]) == (409, "a")
    assert mixed.status_code == 500


async def test_a_method_may_have_a_deadline_of_its_own():
    """The slice's default would let it run for twenty seconds; both kinds of lateness are 504."""
    async with aether.Cluster.open(Many, http=0) as cluster, httpx.AsyncClient(trust_env=False) as client:
        with trio.fail_after(10):
            for path in ("hasty", "hurried"):
                answer = await client.get(f"{cluster.http_url}/{path}")
                assert (answer.status_code, answer.json()["type"]) == (504, "urn:aether:too-slow")


async def test_a_call_to_a_slice_that_is_wanted_and_does_not_run_ends_with_its_state(aether_cluster):
    """Its caller's time is all it waits, less the moment in which it says so: a moment that a busy machine loses."""
    cluster = await aether_cluster(Busy, nodes=1)
    await cluster.nodes[0].scale(Busy, 0)
    with trio.fail_after(10):
        while [*cluster.nodes[0].kv.rows(keys.INSTANCES)]:
            await trio.sleep(0.01)
    began = trio.current_time()

    with pytest.raises(aether.NoInstance, match="UNSATISFIED"), trio.fail_after(0.3):
        await cluster.get(Busy).busy()

    assert 0.29 < trio.current_time() - began < 0.3


async def test_a_request_for_a_slice_that_is_wanted_and_does_not_run_may_be_repeated():
    """The client learns at once that a repeat may do."""
    async with aether.Cluster.open(Busy, Middle, http=0) as cluster, httpx.AsyncClient(trust_env=False) as client:
        await cluster.scale(Busy, 0)
        with trio.fail_after(10):
            while (await client.post(f"{cluster.http_url}/busy")).status_code != 503:
                await trio.lowlevel.checkpoint()
        answer = await client.post(f"{cluster.http_url}/busy")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
