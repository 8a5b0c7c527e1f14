"""ASGI applications as slices: FastAPI and Starlette below a path, in any node, with bodies that stream both ways."""

import json
from contextlib import asynccontextmanager

import fastapi
import httpx
import pytest
import trio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

import aether
from aether.slice_api.contract import contract_of

LOG = []
GO = trio.Event()


@aether.slice(artifact="tests.asgi:greeter:1.0.0")
class Greeter:
    async def hello(self, name: str) -> str:
        return f"Hello, {name}!"

    async def slow(self) -> None:
        LOG.append("began")
        try:
            await trio.sleep_forever()
        finally:
            LOG.append("slow ended")


@asynccontextmanager
async def fastapi_lifespan(_):
    LOG.append("started")
    yield {"answer": 42}
    LOG.append("stopped")


def fastapi_app():
    app = fastapi.FastAPI(lifespan=fastapi_lifespan)

    @app.get("/hello/{name}")
    async def hello(name: str, request: fastapi.Request, loud: bool = False) -> dict:
        said = await request.state.greeter.hello(name)
        return {"said": said.upper() if loud else said, "answer": request.state.answer, "url": str(request.url)}

    @app.get("/blocking")
    def blocking() -> str:
        return "in a thread"

    @app.post("/items")
    async def items(item: dict) -> dict:
        return item

    @app.get("/slow")
    async def slow(request: fastapi.Request) -> None:
        await request.state.greeter.slow()

    return app


async def upper(request):
    async def pieces():
        async for piece in request.stream():
            LOG.append(len(piece))
            yield piece.upper()

    return StreamingResponse(pieces(), media_type="text/x-upper")


async def cookies(request):
    response = JSONResponse(dict(request.cookies))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    response.headers.append("Vary", "X")
    response.headers.append("Vary", "Y")
    return response


async def slowly(_):
    global GO
    GO = trio.Event()

    async def pieces():
        LOG.append("one")
        yield b"one"
        await GO.wait()
        yield b"two"

    return StreamingResponse(pieces())


async def endless(scope, receive, send):
    """Sends for ever, whoever listens."""
    try:
        await send({"type": "http.response.start", "status": 200})
        for n in range(10**9):
            LOG.append(n)
            await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})
    finally:
        LOG.append("closed")


async def background(_):
    global GO
    GO = trio.Event()

    async def later():
        await GO.wait()
        LOG.append("later")

    return PlainTextResponse("now", background=BackgroundTask(later))


async def broken(request):
    global GO
    GO = trio.Event()

    async def pieces():
        yield b"a"
        await GO.wait()
        raise ZeroDivisionError

    if "late" in request.query_params:
        return StreamingResponse(pieces())
    raise KeyError("early")


async def forever(_):
    LOG.append("began")
    try:
        await trio.sleep_forever()
    finally:
        LOG.append("cancelled")


async def options(_):
    return PlainTextResponse("", headers={"Allow": "what I like"})


def starlette_app():
    found = (upper, cookies, slowly, background, broken, forever)
    routes = [Route(f"/{f.__name__}", f, methods=["GET", "POST"]) for f in found]
    return Starlette(routes=[*routes, Route("/options", options, methods=["OPTIONS"])])


@pytest.fixture(autouse=True)
def _log():
    LOG.clear()


Fast = aether.asgi(fastapi_app(), at="/fast", needs={"greeter": Greeter}, artifact="tests.asgi:fast:1.0.0")
Stars = aether.asgi(starlette_app(), at="/stars/of/all", artifact="tests.asgi:stars:1.0.0", deadline_s=2)


@asynccontextmanager
async def served(*slices):
    """A client of a node that runs `slices`."""
    async with (
        aether.Cluster.open(*slices, http=0) as cluster,
        httpx.AsyncClient(base_url=cluster.http_url, trust_env=False, timeout=20) as client,
    ):
        yield client


@asynccontextmanager
async def raw(client, begin):
    """A connection that has sent `begin`: httpx reads nothing before all of its body has left."""
    stream = await trio.open_tcp_stream(client.base_url.host, client.base_url.port)
    try:
        await stream.send_all(begin)
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


async def received(stream, end):
    """What comes up to `end`."""
    found = b""
    with trio.fail_after(10):
        while end not in found:
            piece = await stream.receive_some()
            assert piece, found
            found += piece
    return found


async def until(condition):
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.005)


async def test_a_fastapi_application_answers_below_its_path_and_calls_slices():
    async with served(Fast, Greeter) as client:
        answer = await client.get("/fast/hello/ann", params={"loud": True})
        assert answer.json() == {
            "said": "HELLO, ANN!",
            "answer": 42,
            "url": f"{client.base_url}/fast/hello/ann?loud=true",
        }
        assert answer.headers["X-Aether-Route"] == "GET /fast/{rest:path}"
        assert (await client.post("/fast/items", json={"a": [1]})).json() == {"a": [1]}
        assert (await client.get("/fast/blocking")).json() == "in a thread"
        assert (await client.get("/fast/hello/ann?loud=x")).status_code == 422
        assert (await client.get("/fast/openapi.json")).json()["servers"] == [{"url": "/fast"}]
        for path in ("/fast", "/fast/", "/fast/nothing"):
            assert (await client.get(path)).json() == {"detail": "Not Found"}
        assert (await client.get("/fastest")).json()["title"] == "Not Found"


async def test_its_lifespan_is_that_of_the_instance():
    async with served(Fast, Greeter) as client:
        assert LOG == ["started"]
        await client.get("/fast/hello/ann")
    assert LOG == ["started", "stopped"]


async def test_any_node_takes_requests_for_it():
    async with aether.Cluster.local(Fast, Greeter, nodes=3, http=True) as cluster:
        for node in cluster.nodes:
            with trio.fail_after(10):
                async with httpx.AsyncClient(base_url=node.http_url, trust_env=False) as client:
                    while (answer := await client.get("/fast/hello/bob")).status_code != 200:
                        await trio.sleep(0.05)
            assert answer.json()["said"] == "Hello, bob!"
            assert answer.headers["Content-Type"] == "application/json"


async def test_the_application_reads_a_body_while_it_is_sent():
    head = b"POST /stars/of/all/upper HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with served(Stars) as client, raw(client, head + b"4\r\none \r\n") as stream:
        await until(lambda: LOG == [4])
        await stream.send_all(b"3\r\ntwo\r\n0\r\n\r\n")
        answer = await received(stream, b"TWO")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/x-upper; charset=utf-8\r\n")


async def test_an_answer_arrives_while_the_application_still_makes_it():
    async with served(Stars) as client, raw(client, b"GET /stars/of/all/slowly HTTP/1.1\r\nHost: x\r\n\r\n") as stream:
        assert (await received(stream, b"one")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert LOG == ["one"]
        GO.set()
        assert b"two" in await received(stream, b"0\r\n\r\n")


async def test_a_large_upload_arrives_whole():
    body = bytes(range(97, 122)) * 120_000
    async with served(Stars) as client:
        answer = await client.post("/stars/of/all/upper", content=body)
    assert answer.content == body.upper()


async def test_a_slow_reader_slows_the_application_and_leaving_ends_it():
    mounted = aether.asgi(endless, at="/endless", artifact="tests.asgi:endless:1.0.0")
    async with served(mounted) as client:
        async with raw(client, b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n") as stream:
            await received(stream, b"xxx")
            before = -1
            with trio.fail_after(10):
                while len(LOG) != before:  # until everything between here and there is full
                    before = len(LOG)
                    await trio.sleep(0.2)
            assert 0 < before < 2_000  # of a thousand million
        await until(lambda: LOG[-1] == "closed")


@pytest.mark.parametrize(("path", "word"), [("/stars/of/all/forever", "cancelled"), ("/fast/slow", "slow ended")])
async def test_a_client_that_leaves_cancels_the_application_and_what_it_called(path, word):
    async with served(Fast, Greeter, Stars) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, path)
            await until(lambda: "began" in LOG)
            nursery.cancel_scope.cancel()
        await until(lambda: word in LOG)


async def test_an_application_that_takes_too_long_is_cut_off_as_any_method():
    async with served(Stars) as client:
        answer = await client.get("/stars/of/all/forever")
    assert answer.status_code == 504
    assert "cancelled" in LOG


async def test_headers_that_come_several_times_arrive_all():
    async with served(Stars) as client:
        answer = await client.get("/stars/of/all/cookies", headers={"Cookie": "x=1; y=2"})
    assert answer.json() == {"x": "1", "y": "2"}
    assert [value.partition(";")[0] for value in answer.headers.get_list("set-cookie")] == ["a=1", "b=2"]
    assert {part.strip() for part in answer.headers["Vary"].split(",")} >= {"X", "Y"}


async def test_a_background_task_goes_on_after_the_answer():
    async with served(Stars) as client:
        assert (await client.get("/stars/of/all/background")).text == "now"
        assert "later" not in LOG
        GO.set()
        await until(lambda: "later" in LOG)


async def test_other_verbs_are_its_own_business():
    async with served(Stars) as client:
        assert (await client.options("/stars/of/all/options")).headers["Allow"] == "what I like"
        assert (await client.head("/stars/of/all/cookies")).status_code == 200
        assert (await client.delete("/stars/of/all/cookies")).status_code == 405


async def test_an_exception_before_the_answer_is_a_500_and_one_in_the_middle_cuts_it(caplog):
    async with served(Stars) as client:
        answer = await client.get("/stars/of/all/broken")
        assert answer.status_code == 500
        [said] = [record for record in caplog.records if "GET /stars/of/all/broken" in record.message]
        assert answer.headers["X-Request-Id"] in said.message
        assert isinstance(said.exc_info[1], KeyError)  # the framework has answered 500, and leaves the rest to the log
        with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 - its beginning arrives, the rest does not
            async with client.stream("GET", "/stars/of/all/broken?late=1") as late:
                async for piece in late.aiter_bytes():
                    assert piece == b"a"
                    GO.set()
        assert (await client.get("/stars/of/all/cookies")).status_code == 200


async def test_at_the_root_it_answers_what_no_slice_does():
    @aether.slice(artifact="tests.asgi:first:1.0.0")
    class First:
        @aether.get("/first/{name}")
        async def first(self, name: str) -> str:
            return name

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-type", b"text/plain")]})
        text = json.dumps(
            [scope["path"], scope["raw_path"].decode(), scope["root_path"], scope["query_string"].decode()]
        )
        await send({"type": "http.response.body", "body": text.encode()})

    root = aether.asgi(app, at="/", artifact="tests.asgi:root:1.0.0")
    async with served(First, root) as client:
        assert (await client.get("/first/a")).json() == "a"
        answer = await client.get("/first/a%2Fb/c?q=%20")
        assert (answer.status_code, answer.json()) == (201, ["/first/a/b/c", "/first/a%2Fb/c", "", "q=%20"])
        assert (await client.get("/")).json()[0] == "/"


async def test_a_start_up_that_fails_keeps_the_instance_from_being_active():
    @asynccontextmanager
    async def failing(_):
        raise OSError("no database")
        yield

    slice_of = aether.asgi(Starlette(lifespan=failing), at="/x", artifact="tests.asgi:failing:1.0.0")
    with pytest.raises(aether.NoInstance, match="no database"):
        async with aether.Cluster.open(slice_of):
            pass


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"at": "admin"}, "path without variables"),
        ({"at": "/a/{b}"}, "path without variables"),
        ({"at": "/a", "needs": {"greeter": int}}, "slice class or a Protocol"),
        ({"at": "/a", "needs": {"mount": Greeter}}, "another name"),
    ],
)
def test_what_cannot_be_mounted_is_refused(arguments, reason):
    with pytest.raises(aether.ContractError, match=reason):
        aether.asgi(starlette_app(), **arguments)


def test_it_is_a_slice_like_any_other():
    mounted = aether.asgi(starlette_app(), at="/my-shop/admin", instances=2)
    contract = contract_of(mounted)

    assert mounted.__name__ == "MyShopAdmin"
    assert contract.options.instances == 2
    assert contract.artifact.base.name == "my-shop-admin"
    assert {route.template for route in contract.routes} == {"/my-shop/admin", "/my-shop/admin/{rest:path}"}
