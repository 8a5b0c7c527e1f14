"""The page of a cluster and the WebSocket behind it, by the virtual clock."""

from __future__ import annotations

import importlib.resources
import json
import re

import attrs
import pytest
import trio
import trio.testing
import wsproto.events as ws
from wsproto import ConnectionType, WSConnection

from aether.management.dashboard_pages import FILES
from aether.management.dashboard_service import Dashboard
from aether.management.live_service import Outbox
from aether.management.service import ManagementApi
from aether.metrics.events import EventType, told
from aether.model.access import Role
from aether.model.alerts import Severity
from aether.model.ids import Revision
from aether.model.limits import DASHBOARD_MESSAGES_AHEAD, DASHBOARD_METHODS_MAX, DASHBOARD_ROWS_MAX, RIGHT_LOOK_S
from aether.web.config import WebConfig
from aether.web.request import Request
from aether.web.service import WebServer

FIELDS = {"metric": "cpu.usage", "nodeId": "node-2", "value": 0.9, "threshold": 0.8, "severity": "WARNING"}
CPU = told(EventType.ALERT_TRIGGERED, "cpu.usage:node-2", "cpu.usage of node-2 is 0.9", FIELDS, Severity.WARNING)
CPU_FINE = told(EventType.ALERT_RESOLVED, "cpu.usage:node-2", "cpu.usage of node-2 is fine", FIELDS)


def api_of(world):
    return ManagementApi(
        view=world.rows,
        consensus=lambda: world.consensus,
        peers=lambda: world.peers,
        local=world.local,
        actors=world.actors(),
        rows=world.stored,
        backups=world.backups,
        access=world.access,
    )


class Client:
    """A dashboard of the original: it knows the address and the messages."""

    def __init__(self, stream, protocols=()):
        self.stream = stream
        self.wire = WSConnection(ConnectionType.CLIENT)
        self.protocols = list(protocols)
        self.accepted = None
        self.refused = None
        self.closed = None
        self.messages = []

    async def open(self):
        request = ws.Request(host="localhost:8080", target="/ws/dashboard", subprotocols=self.protocols)
        await self.stream.send_all(self.wire.send(request))
        while self.accepted is None and self.refused is None:
            await self._more()
        return self

    async def say(self, **message):
        await self.stream.send_all(self.wire.send(ws.TextMessage(data=json.dumps(message))))

    async def _more(self):
        data = await self.stream.receive_some(65536)
        self.wire.receive_data(data or None)
        text = getattr(self, "_text", "")
        for event in self.wire.events():
            match event:
                case ws.AcceptConnection():
                    self.accepted = event
                case ws.RejectConnection():
                    self.refused = event.status_code
                case ws.TextMessage():
                    text += event.data
                    if event.message_finished:
                        self.messages.append(json.loads(text))
                        text = ""
                case ws.CloseConnection():
                    self.closed = event
                case ws.Ping():
                    await self.stream.send_all(self.wire.send(event.response()))
        self._text = text

    async def next(self, kind=None):
        """The next message, of `kind` if one is named."""
        with trio.fail_after(30):
            while True:
                while self.messages:
                    message = self.messages.pop(0)
                    if kind in (None, message["type"]):
                        return message
                assert self.closed is None, self.closed
                await self._more()

    async def close_code(self):
        with trio.fail_after(60):
            while self.closed is None:
                await self._more()
        return self.closed.code


@pytest.fixture
def connect(world, nursery, autojump_clock):
    """Open the socket of one node, as often as wished."""

    async def served(api, protocols, client):
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(WebServer(api, WebConfig(), leaving=api.leaving).serve_stream, far, client)
        return await Client(near, protocols).open()

    async def opened(protocols=(), client="127.0.0.1"):
        return await served(opened.api, protocols, client)

    async def node(world, protocols, client="192.0.2.7"):
        """Of a world that was changed since."""
        return await served(api_of(world), protocols, client)

    opened.api = api_of(world)
    opened.node = node
    return opened


# --- messages of the original -----------------------------------------------------------------------------------------


async def test_on_connect_comes_everything_that_the_original_sends(world, connect):
    world.figures.tell("node-1", cpu__usage=0.25)
    client = await connect()
    first = await client.next()
    assert set(first) == {"type", "timestamp", "data"}
    assert first["type"] == "INITIAL_STATE"
    data = first["data"]
    assert data["nodes"] == [
        {"id": "node-1", "isLeader": True},
        {"id": "node-2", "isLeader": False},
        {"id": "node-3", "isLeader": False},
    ]
    assert data["metrics"]["load"]["node-1"]["cpu.usage"] == 0.25
    assert data["metrics"]["invocations"] == []
    assert data["thresholds"]["cpu.usage"]["critical"] == 0.9
    assert [each["artifact"] for each in data["slices"]] == ["shop:pricing:1.0.0", "shop.orders:place-order:1.2.0"]


async def test_each_second_comes_an_update_of_the_figures(world, connect):
    client = await connect()
    await client.next("INITIAL_STATE")
    began = trio.current_time()
    for second in range(1, 6):
        world.figures.now += 1
        world.figures.tell("node-1", cpu__usage=second / 10)
        update = await client.next()
        assert (update["type"], update["data"]["load"]["node-1"]["cpu.usage"]) == ("METRICS_UPDATE", second / 10)
    assert trio.current_time() - began == pytest.approx(5, abs=1)


async def test_the_state_comes_along_when_it_changed_and_only_then(world, connect):
    client = await connect()
    await client.next("INITIAL_STATE")
    assert "slices" not in (await client.next())["data"]
    world.rows.desired_rows = world.rows.desired_rows[:1]
    world.rows.revision = Revision(43)
    update = (await client.next())["data"]
    assert update["revision"] == 43
    assert len(update["slices"]) == 2, "an instance that is not wanted any more is still there"
    assert "slices" not in (await client.next())["data"]


async def test_another_leader_is_news(world, connect):
    client = await connect()
    await client.next("INITIAL_STATE")
    world.consensus.leader = "node-3"
    update = (await client.next())["data"]
    assert update["leader"] == "node-3"
    assert [each["id"] for each in update["nodes"] if each["isLeader"]] == ["node-3"]


async def test_an_alert_is_told_once_and_so_is_its_end(world, connect):
    client = await connect()
    await client.next("INITIAL_STATE")
    world.events.log.add(50, 50.0, [CPU])
    await client.next("METRICS_UPDATE")
    alert = await client.next()
    assert alert["type"] == "ALERT"
    assert {name: alert["data"][name] for name in FIELDS} == FIELDS
    world.events.log.add(51, 51.0, [CPU_FINE])
    assert (await client.next("ALERT_RESOLVED"))["data"]["nodeId"] == "node-2"
    assert [(await client.next())["type"] for _ in range(3)] == ["METRICS_UPDATE"] * 3


async def test_alerts_that_stand_come_with_each_update_and_old_ones_are_no_news(world, connect):
    world.events.log.add(50, 50.0, [CPU])
    client = await connect()
    assert [each["nodeId"] for each in (await client.next("INITIAL_STATE"))["data"]["alerts"]] == ["n1"]
    world.alerts.rows = []
    assert (await client.next())["data"]["alerts"] == []
    assert [(await client.next())["type"] for _ in range(3)] == ["METRICS_UPDATE"] * 3


async def test_an_operator_sets_a_threshold_and_the_page_learns_of_it(world, connect):
    world.access = attrs.evolve(world.access, tokens=world.tokens.find)
    api = await connect.node(world, ["aether", f"aether.token.{world.tokens.add('op', Role.OPERATOR)}"])
    assert (await api.next("INITIAL_STATE"))["data"]["thresholds"]["cpu.usage"]["warning"] == 0.7
    await api.say(type="SET_THRESHOLD", metric="cpu.usage", warning=0.5, critical=0.6)
    assert (await api.next("THRESHOLD_SET"))["data"] == {"metric": "cpu.usage", "warning": 0.5, "critical": 0.6}
    assert world.alerts.thresholds_set["cpu.usage"].by == "op"
    world.rows.revision = Revision(44)
    while "thresholds" not in (update := (await api.next("METRICS_UPDATE"))["data"]):
        pass
    assert update["thresholds"]["cpu.usage"]["critical"] == 0.6
    await api.say(type="SET_THRESHOLD", metric="cpu.usage", warning="much")
    problem = (await api.next("PROBLEM"))["data"]
    assert problem["status"] == 400
    assert "critical" in json.dumps(problem["problems"])


@pytest.mark.parametrize("wanted", ["5m", "15m", "1h", "2h"])
async def test_history_is_answered_by_range(world, connect, wanted):
    world.figures.tell("node-2", cpu__usage=0.5)
    client = await connect()
    await client.say(type="SUBSCRIBE")
    await client.say(type="GET_HISTORY", timeRange=wanted)
    history = await client.next("HISTORY")
    assert history["timeRange"] == wanted
    (point,) = history["nodes"]["node-2"]
    assert point["metrics"]["cpu.usage"] == 0.5
    assert set(point) == {"timestamp", "metrics"}


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("{", "no JSON"),
        ("[" * 4_000, "no JSON"),
        ("[]", "no object"),
        ("{}", "no object"),
        ('{"type": 7}', "no object"),
        ('{"type": "DROP_TABLE"}', "DROP_TABLE"),
        ('{"type": "GET_HISTORY", "timeRange": "1y"}', "1y"),
        ('{"type": "SUBSCRIBE", "x": "' + "y" * 5_000 + '"}', "longer than"),
    ],
)
async def test_a_message_that_makes_no_sense_is_answered_and_the_socket_stays(connect, text, about):
    client = await connect()
    await client.stream.send_all(client.wire.send(ws.TextMessage(data=text)))
    problem = (await client.next("PROBLEM"))["data"]
    assert problem["status"] == 400
    assert about in json.dumps(problem)
    assert (await client.next())["type"] == "METRICS_UPDATE"


async def test_a_viewer_sets_no_threshold(world, connect):
    client = await connect()
    await client.say(type="SET_THRESHOLD", metric="cpu.usage", warning=0.7, critical=0.9)
    problem = (await client.next("PROBLEM"))["data"]
    assert problem["status"] == 401
    assert world.alerts.thresholds_set["cpu.usage"].by == ""


async def test_a_change_is_asked_of_the_whole_api_with_the_token_of_the_socket(world):
    asked = []

    async def ask(request):
        asked.append(request)
        return (await world.ask("GET", "/status")).response

    dashboard = Dashboard(lambda: None, world.actors(), world.access, ask)
    protocols = ("sec-websocket-protocol", f"aether, aether.token.{world.access.token}")
    request = Request(verb="GET", path="/ws/dashboard", headers=(protocols, ("upgrade", "websocket")), client="::1")
    sender, receiver = trio.open_memory_channel(2)
    await sender.send('{"type": "SET_THRESHOLD", "metric": "cpu.usage", "warning": 0.7, "critical": 0.9}')
    sender.close()
    outbox = Outbox("/ws/dashboard")
    await dashboard._listen(request, receiver, outbox)
    (change,) = asked
    assert (change.verb, change.path, change.content_type) == ("POST", "/thresholds", "application/json")
    assert change.client == "::1"
    assert json.loads(change.body) == {"metric": "cpu.usage", "warning": 0.7, "critical": 0.9}
    assert world.access.caller(change).role is Role.ADMIN
    assert json.loads(await anext(outbox))["type"] == "THRESHOLD_SET"


async def test_who_is_nobody_gets_no_socket(world, connect):
    assert (await connect(client="192.0.2.7")).refused == 401
    assert (await connect(["aether", "aether.token.wrong"])).refused == 401


async def test_a_page_brings_its_token_as_a_subprotocol(world, connect):
    client = await connect(["aether", f"aether.token.{world.access.token}"], client="192.0.2.7")
    assert client.accepted.subprotocol == "aether"
    assert (await client.next())["type"] == "INITIAL_STATE"


async def test_a_token_that_is_revoked_ends_the_socket(world, connect):
    world.access = attrs.evolve(world.access, tokens=world.tokens.find)
    client = await connect.node(world, ["aether", f"aether.token.{world.tokens.add('screen', Role.VIEWER)}"])
    await client.next("METRICS_UPDATE")
    await world.tokens.revoke("screen")
    assert await client.close_code() == 1008
    assert len(client.messages) <= RIGHT_LOOK_S + 1


# --- bounds -----------------------------------------------------------------------------------------------------------


async def test_one_frame_is_made_a_second_however_many_look(world, connect):
    clients = [await connect() for _ in range(20)]
    for client in clients:
        for _ in range(5):
            await client.next()
    made = connect.api._dashboard.frames
    assert 5 <= made <= 7
    for client in clients:
        await client.stream.aclose()
    await trio.sleep(30)
    assert connect.api._dashboard.frames <= made + 2, "nobody looks"


async def test_a_client_that_takes_nothing_is_dropped(world, nursery, autojump_clock):
    """Its frames are not kept for it: some wait, then it is told to come back."""
    dashboard = api_of(world)._dashboard
    _sender, receiver = trio.open_memory_channel(1)
    request = Request(verb="GET", path="/ws/dashboard", client="127.0.0.1")
    outbox = Outbox("/ws/dashboard", DASHBOARD_MESSAGES_AHEAD)
    nursery.start_soon(dashboard._talk(request), receiver, outbox)
    await trio.sleep(DASHBOARD_MESSAGES_AHEAD + 2)
    with pytest.raises(Exception, match="a client of /ws/dashboard"):
        await anext(outbox)


async def test_a_large_cluster_makes_no_larger_message(world, connect):
    route = world.rows.route_rows[0].routes[0]
    many = tuple(attrs.evolve(route, template=f"/r{n}") for n in range(DASHBOARD_ROWS_MAX + 7))
    world.rows.route_rows = [attrs.evolve(world.rows.route_rows[0], routes=many)]
    data = (await (await connect()).next())["data"]
    assert len(data["routes"]) == DASHBOARD_ROWS_MAX
    assert data["more"] == {"routes": 7}
    assert DASHBOARD_METHODS_MAX == 50


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served_to_everybody_under_a_policy(world, name):
    """They hold nothing of the cluster: the page itself asks for a token."""
    asked = await world.ask("GET", f"/dashboard/{name}" if name else "/dashboard", token=None, client="192.0.2.7")
    assert asked.status == 200
    headers = asked.response.headers
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-cache"
    again = await world.ask("GET", f"/api/dashboard/{name}", token=None, headers={"if-none-match": headers["ETag"]})
    assert (again.status, again.response.body) == (304, b"")


async def test_a_file_that_is_none_is_not_there(world):
    for path in ("/dashboard/x.js", "/dashboard/../table.py", "/dashboard/__init__.py", "/dashboards"):
        assert (await world.ask("GET", path)).status == 404, path


def text_of(name):
    return importlib.resources.files("aether.management.pages").joinpath(name).read_text()


def test_the_package_holds_every_file_and_every_module_that_one_imports():
    served = {file for file, _ in FILES.values()}
    for name in served:
        text = text_of(name)
        for wanted in re.findall(r'from "\./([\w.]+)"|(?:src|href)="/dashboard/([\w.]+)"', text):
            assert set(filter(None, wanted)) <= served, (name, wanted)


@pytest.mark.parametrize("name", sorted({file for file, _ in FILES.values()}))
def test_no_file_makes_markup_of_text_or_fetches_from_elsewhere(name):
    """Texts come from whoever names slices: they become text nodes, and nothing else."""
    text = text_of(name)
    assert not re.search(r"(?:inner|outer)HTML|insertAdjacentHTML|document\.write|eval\(|new Function| style=", text)
    assert not re.findall(r"https?://(?!www\.w3\.org/)", text)
    assert not re.search(r"<script(?![^>]* src=)|\son\w+=", text)
