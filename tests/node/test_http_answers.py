"""What the HTTP port of a node says when slices disagree or stop half-way."""

import httpx

import aether


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


async def test_two_slices_that_claim_one_path_are_named_once(caplog):
    """Half of the team wonders why its route answers with somebody else's data."""
    async with aether.Cluster.open(First, Second, http=0) as cluster, httpx.AsyncClient(trust_env=False) as client:
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
