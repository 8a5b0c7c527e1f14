"""Errors of calls, by the rules of the API: the same co-located, by the wire, from another node; and at HTTP."""

import httpx
import pytest
import trio

import aether


class SoldOut(aether.Fault):
    """Nothing left."""

    status = 410
    sku: str
    left: int = 0


class Locked(aether.Fault):
    status = 423
    by: str


@aether.slice(artifact="tests.errors:last:1.0.0")
class Last:
    full: aether.Map[str, int] = aether.map("tests-errors-full", entries_max=1)

    @aether.get("/fault")
    async def fault(self, kind: str) -> None:
        match kind:
            case "one":
                raise SoldOut(sku="a", left=2)
            case "in a group":
                raise ExceptionGroup("nursery", [ExceptionGroup("inner", [SoldOut(sku="a", left=2)])])
            case "alike":
                raise ExceptionGroup("lines", [SoldOut(sku="a"), SoldOut(sku="b")])
            case "mixed":
                raise ExceptionGroup("lines", [SoldOut(sku="a"), Locked(by="ann")])
            case "foreign":
                raise KeyError("surprise")
            case "foreign beside a fault":
                raise ExceptionGroup("lines", [SoldOut(sku="a"), KeyError("surprise")])
            case "full map":
                await self.full.put("a", 1)
                await self.full.put("b", 2)
            case "late":
                raise aether.NoQuorum(1, 2)

    async def slow(self) -> None:
        await trio.sleep(60)

    async def quick(self) -> None:
        await trio.sleep(0.01)


@aether.slice(artifact="tests.errors:middle:1.0.0")
class Middle:
    last: Last

    async def through(self, kind: str) -> None:
        await self.last.fault(kind)

    async def slow(self) -> None:
        await self.last.quick()
        await self.last.slow()


@aether.slice(artifact="tests.errors:first:1.0.0")
class First:
    middle: Middle

    @aether.get("/through")
    async def through(self, kind: str) -> None:
        await self.middle.through(kind)

    @aether.get("/slow", idempotent=False)
    async def slow(self, caught: bool = False) -> str:
        try:
            with trio.fail_after(0.4):
                await self.middle.slow()
        except trio.TooSlowError:
            if not caught:
                raise
        return "caught"


SLICES = (First, Middle, Last)


@pytest.fixture(params=["co-located", "by the wire", "on three nodes"])
async def opened(request):
    """(a cluster to call through, its HTTP client)."""
    if request.param == "on three nodes":
        async with aether.Cluster.local(*SLICES, nodes=3, http=True) as local:
            async with httpx.AsyncClient(base_url=local.nodes[0].http_url) as web:
                yield local.nodes[0], web
    else:
        calls = "wire" if request.param == "by the wire" else "direct"
        async with aether.Cluster.open(*SLICES, http=0, calls=calls) as cluster:
            async with httpx.AsyncClient(base_url=cluster.http_url) as web:
                yield cluster, web


@pytest.mark.parametrize("kind", ["one", "in a group"])
async def test_a_fault_arrives_as_itself_also_out_of_a_nursery_and_over_three_hops(opened, kind):
    cluster, web = opened
    for call in (cluster.get(Last).fault, cluster.get(First).through):
        with pytest.raises(SoldOut) as caught:
            await call(kind)
        assert (caught.value.sku, caught.value.left) == ("a", 2)
    answer = await web.get("/through", params={"kind": kind})
    assert (answer.status_code, answer.json()["fault"]) == (410, "SoldOut")
    assert (answer.json()["sku"], answer.json()["left"]) == ("a", 2)


async def test_faults_of_one_status_keep_it_and_are_all_listed(opened):
    cluster, web = opened
    answer = await web.get("/fault", params={"kind": "alike"})
    assert answer.status_code == 410
    assert [each["sku"] for each in answer.json()["faults"]] == ["a", "b"]
    with pytest.raises(aether.CallFailed) as caught:
        await cluster.get(Last).fault("alike")
    assert [each["sku"] for each in caught.value.fields["faults"]] == ["a", "b"]


@pytest.mark.parametrize("kind", ["mixed", "foreign", "foreign beside a fault"])
async def test_anything_else_is_a_failed_call_with_the_callees_traceback(opened, kind):
    cluster, web = opened
    with pytest.raises(aether.CallFailed) as caught:
        await cluster.get(First).through(kind)
    error = caught.value
    assert (error.slice, error.method) == ("First", "through")
    innermost = error
    while isinstance(innermost.__cause__, aether.CallFailed):
        innermost = innermost.__cause__
    assert "remote_traceback" in dir(error)
    assert "CallFailed" in error.kind
    with pytest.raises(aether.CallFailed) as direct:
        await cluster.get(Last).fault(kind)
    assert direct.value.kind == ("KeyError" if kind == "foreign" else "ExceptionGroup")
    assert "in fault" in direct.value.remote_traceback
    assert "aether/hosting" not in direct.value.remote_traceback
    assert direct.value.instance
    assert direct.value.node
    assert direct.value.attempt == 1
    answer = await web.get("/fault", params={"kind": kind})
    assert answer.status_code == 500
    assert "surprise" not in answer.text


async def test_a_full_map_is_no_defect_of_the_method_that_uses_it(opened):
    """What to do next is to make room or raise the limit: a 500 would send people to look for a bug."""
    cluster, web = opened
    for call in (cluster.get(Last).fault, cluster.get(First).through):
        with pytest.raises(aether.QuotaExceeded) as caught:
            await call("full map")
        assert "tests-errors-full" in caught.value.what
        assert (caught.value.limit, caught.value.unit) == (1, "entries")
    answer = await web.get("/through", params={"kind": "full map"})
    assert (answer.status_code, answer.json()["limit"], answer.json()["unit"]) == (409, 1, "entries")


async def test_what_a_method_did_not_finish_for_want_of_others_has_an_unknown_outcome(opened):
    """Not TryAgain: the method may have done something before."""
    cluster, web = opened
    with pytest.raises(aether.OutcomeUnknown, match="stopped half-way, by NoQuorum"):
        await cluster.get(First).through("late")
    assert (await web.get("/through", params={"kind": "late"})).status_code == 504


def names(hop):
    return [hop["name"], [names(call) for call in hop.get("calls", [])]]


async def test_a_time_out_says_where_the_time_went_three_hops_deep_without_any_setup(aether_cluster):
    cluster = await aether_cluster(*SLICES, nodes=3)
    with pytest.raises(trio.TooSlowError) as caught:
        await cluster.get(First).slow()
    [note] = caught.value.__notes__
    lines = note.splitlines()
    assert lines[0] == "where the time went:"
    assert [line.split()[0] for line in lines[1:]] == ["First.slow", "Middle.slow", "Last.quick", "Last.slow"]
    assert lines[-1].endswith("<- still running")
    assert lines[-1].startswith("    Last.slow 0.3")


@pytest.mark.parametrize("opened", ["co-located", "by the wire"], indirect=True)
async def test_the_body_of_a_504_shows_the_tree(opened):
    _, web = opened
    answer = await web.get("/slow")
    assert answer.status_code == 504
    hops = answer.json()["hops"]
    assert names(hops) == ["First.slow", [["Middle.slow", [["Last.quick", []], ["Last.slow", []]]]]]
    assert 0.35 < hops["spentS"] < 2
    assert hops["calls"][0]["calls"][0]["running"] is False
    assert hops["calls"][0]["calls"][1]["running"] is True
    assert "Last.slow" in answer.json()["detail"]
    assert (await web.get("/slow", params={"caught": "true"})).json() == "caught"


async def test_errors_are_sorted_by_what_to_do_next(opened):
    """Try again, change the request, or find out: each of them is one class to catch."""
    cluster, web = opened
    assert issubclass(aether.QuotaExceeded, aether.Rejected)
    with pytest.raises(aether.Rejected):
        await cluster.get(Last).fault(7)
    assert (await web.get("/fault")).status_code == 422
    assert (await web.get("/nothing")).status_code == 404


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml"])
async def test_a_wrong_content_type_is_415(content_type):
    @aether.slice(artifact="tests.errors:typed:1.0.0")
    class Typed:
        @aether.post("/typed")
        async def typed(self, a: int) -> int:
            return a

    async with aether.Cluster.open(Typed, http=0) as cluster, httpx.AsyncClient() as web:
        headers = {"Content-Type": content_type}
        answer = await web.post(f"{cluster.http_url}/typed", content=b'{"a": 1}', headers=headers)
        assert answer.status_code == 415
