"""Events over the management port: a list, a stream, a WebSocket."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing
import wsproto.events as ws
from wsproto import ConnectionType, WSConnection

from aether.management.service import ManagementApi
from aether.metrics.events import EventType, Place, Since, told
from aether.web.config import WebConfig
from aether.web.service import WebServer


@pytest.fixture
def story(world):
    """Three events of the cluster, one of this node, the last revision 12."""
    log = world.events.log
    log.add(10, 10.0, [told(EventType.SCALED, "shop:orders", "more"), told(EventType.UPDATE_FAILED, "shop", "broken")])
    log.add_local(11.0, told(EventType.QUORUM_LOST, "node-1", "alone"))
    log.add(12, 12.0, [told(EventType.ALERT_RESOLVED, "cpu.usage:n1", "fine")])
    return world


def ids(asked):
    return [event["id"] for event in asked.json["events"]]


async def test_the_last_events_are_a_list_the_oldest_first(story):
    asked = await story.ask("GET", "/events")
    assert ids(asked) == ["10.0", "10.1", "node-1:node-1.1:1", "12.0"]
    assert asked.json["events"][0] == {
        "id": "10.0",
        "timestamp": "1970-01-01T00:00:10.000Z",
        "type": "SCALED",
        "severity": "INFO",
        "subject": "shop:orders",
        "summary": "more",
        "details": {},
        "nodeId": "",
        "ordered": True,
    }
    assert (asked.json["truncated"], asked.json["next"]) == (False, "12.0")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=1", ["12.0"]),
        ("since=10.0", ["10.1", "node-1:node-1.1:1", "12.0"]),
        ("since=10", ["node-1:node-1.1:1", "12.0"]),
        ("since=1970-01-01T00:00:11Z", ["12.0"]),
        ("severity=critical", ["10.1", "node-1:node-1.1:1"]),
        ("type=SCALED,alert_resolved", ["10.0", "12.0"]),
        ("since=12", []),
    ],
)
async def test_a_query_says_which(story, query, expected):
    assert ids(await story.ask("GET", f"/events?{query}")) == expected


async def test_pages_lead_from_one_to_the_next(story):
    first = await story.ask("GET", "/events?since=0&limit=2")
    assert (ids(first), first.json["more"], first.json["next"]) == (["10.0", "10.1"], True, "10.1")
    second = await story.ask("GET", f"/events?since={first.json['next']}&limit=2")
    assert (ids(second), second.json["more"]) == (["node-1:node-1.1:1", "12.0"], False)


async def test_pages_lead_past_events_of_one_node_which_are_no_place_to_go_on_from(world):
    """A node that loses and finds its peers all day has whole pages of them."""
    log = world.events.log
    for revision in (10, 20, 30):
        log.add(revision, float(revision), [told(EventType.SCALED, "shop:orders", "more")])
        for _ in range(3):
            log.add_local(float(revision), told(EventType.QUORUM_LOST, "node-1", "alone"))

    seen, since, pages = [], "10.0", 0
    while since and pages < 20:
        asked = await world.ask("GET", f"/events?since={since}&limit=2")
        seen += ids(asked)
        since, pages = asked.json["next"] if asked.json["more"] else "", pages + 1
    assert not since
    assert list(dict.fromkeys(seen)) == [event.id for event in log.select(Since(place=Place(10, 0)), bool, 100).events]


async def test_an_answer_says_when_some_of_what_was_asked_for_is_forgotten(story):
    story.events.log.begin_anew(20, 20.0)
    asked = await story.ask("GET", "/events?since=10")
    assert (asked.json["truncated"], asked.json["keptAfter"]) == (True, "20")
    assert (await story.ask("GET", "/events?since=20")).json["truncated"] is False


@pytest.mark.parametrize("query", ["since=n1:i:3", "type=SCALE", "severity=loud", "limit=0", "sinse=1"])
async def test_a_query_that_makes_no_sense_is_refused(story, query):
    asked = await story.ask("GET", f"/events?{query}")
    assert asked.status == 400


async def test_a_mistyped_type_is_met_with_the_one_that_was_meant(story):
    asked = await story.ask("GET", "/events?type=SCALE")
    assert "did you mean SCALED" in json.dumps(asked.json)


# --- streams ----------------------------------------------------------------------------------------------------------


async def connected(nursery, world):
    api = ManagementApi(
        view=world.rows,
        consensus=lambda: world.consensus,
        peers=lambda: world.peers,
        local=world.local,
        actors=world.actors(),
        rows=world.stored,
        backups=world.backups,
        access=world.access,
    )
    server = WebServer(api, WebConfig(), leaving=api.leaving)
    client, stream = trio.testing.memory_stream_pair()
    nursery.start_soon(server.serve_stream, stream, "127.0.0.1")
    return client


async def received(client, wanted):
    found = b""
    with trio.fail_after(60):
        while wanted not in found:
            part = await client.receive_some(65536)
            if not part:
                raise EOFError(found)
            found += part
    return found.decode()


async def test_a_client_that_comes_back_with_the_last_id_misses_nothing(story, autojump_clock, nursery):
    """A browser's EventSource sends it by itself, to whichever node answers; the query of its address is older."""
    client = await connected(nursery, story)
    head = "Host: localhost\r\nAccept: text/event-stream\r\nLast-Event-ID: 10.0\r\n\r\n"
    await client.send_all(f"GET /events?since=1 HTTP/1.1\r\n{head}".encode())
    text = await received(client, b"id: 12.0")
    text += await received(client, b"\n\n")

    assert "id: 10.1" in text
    assert "id: 10.0" not in text
    assert '"type":"QUORUM_LOST"' in text
    assert "id: node-1" not in text, "an id of this node means nothing to another one"


async def test_a_stream_says_first_that_some_events_are_forgotten(story, autojump_clock, nursery):
    story.events.log.begin_anew(20, 20.0)
    client = await connected(nursery, story)
    await client.send_all(b"GET /events?since=3 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")

    assert 'event: truncated\ndata: {"truncated":true,"keptAfter":"20"}' in await received(client, b"keptAfter")


async def test_a_stream_tells_only_what_was_asked_for(story, autojump_clock, nursery):
    client = await connected(nursery, story)
    query = b"since=0&type=ALERT_RESOLVED"
    await client.send_all(
        b"GET /events?" + query + b" HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    )

    assert "SCALED" not in await received(client, b"ALERT_RESOLVED")


async def test_a_websocket_tells_events_as_messages(story, autojump_clock, nursery):
    client = await connected(nursery, story)
    wire = WSConnection(ConnectionType.CLIENT)
    await client.send_all(wire.send(ws.Request(host="localhost", target="/ws/events?since=10")))
    messages = []
    with trio.fail_after(60):
        while len(messages) < 2:
            wire.receive_data(bytes(await client.receive_some(65536)))
            messages += [json.loads(event.data) for event in wire.events() if isinstance(event, ws.TextMessage)]

    assert [message["type"] for message in messages] == ["QUORUM_LOST", "ALERT_RESOLVED"]


async def test_a_page_of_another_origin_gets_no_event(story, autojump_clock, nursery):
    client = await connected(nursery, story)
    wire = WSConnection(ConnectionType.CLIENT)
    origin = [(b"Origin", b"http://evil.example")]
    request = ws.Request(host="localhost", target="/ws/events", extra_headers=origin)
    await client.send_all(wire.send(request))

    assert " 403 " in await received(client, b"\r\n\r\n")
