"""A browser's own EventSource and WebSocket, against a node: headless Chromium, when there is one."""

import json
import subprocess
from collections.abc import AsyncIterator
from typing import Annotated

import attrs
import pytest

import aether
from aether.forge.polling import until

STARTED_S = 60.0

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

PAGE = """<!doctype html><title>t</title><script>
const seen = {events: [], named: [], opens: 0, messages: [], close: null, cors: null};
const done = () => fetch("/report", {method: "POST", headers: {"Content-Type": "application/json"},
                                     body: JSON.stringify({seen: JSON.stringify(seen)})});
const listen = new Promise(resolve => {
  const source = new EventSource("/ticks");
  source.onopen = () => seen.opens++;
  source.addEventListener("last", e => seen.named.push(e.lastEventId));
  source.onmessage = e => {
    seen.events.push([e.lastEventId, JSON.parse(e.data).number]);
    if (seen.events.length == 5) { source.close(); resolve(); }
  };
});
const talk = new Promise(resolve => {
  const socket = new WebSocket(`ws://${location.host}/rooms/a`);
  socket.onopen = () => socket.send(JSON.stringify({text: "h\\u00e4llo"}));
  socket.onmessage = e => {
    seen.messages.push(JSON.parse(e.data));
    socket.send(JSON.stringify(seen.messages.length < 3 ? {text: "again"} : {text: "leave"}));
  };
  socket.onclose = e => { seen.close = [e.code, e.reason, e.wasClean]; resolve(); };
});
Promise.all([listen, talk]).then(done);
</script>"""


@attrs.frozen
class Tick:
    number: int


@attrs.frozen
class Say:
    text: str


class Gone(aether.Fault):
    """The room was left."""

    status = 410


@aether.slice(artifact="test.browser:page:1.0.0")
class Page:
    reports: list[str] = aether.state(factory=list[str])

    @aether.get("/")
    async def page(self) -> aether.Response:
        return aether.Response(PAGE, content_type="text/html; charset=utf-8")

    @aether.get("/ticks")
    async def ticks(self, last_event_id: Annotated[str | None, aether.Header()]) -> AsyncIterator[aether.Event[Tick]]:
        """Two at a time: the browser has to come back, and says where it was."""
        first = int(last_event_id or 0) + 1
        yield aether.Event(Tick(first), id=str(first), retry_s=0.05)
        yield aether.Event(Tick(first + 1), id=str(first + 1))
        yield aether.Event(Tick(0), id=str(first + 1), name="last")

    @aether.websocket("/rooms/{room}")
    async def talk(self, room: str, messages: AsyncIterator[Say]) -> AsyncIterator[Say]:
        async for message in messages:
            if message.text == "leave":
                raise Gone
            yield Say(f"{room}: {message.text}")

    @aether.post("/report")
    async def report(self, seen: str) -> None:
        self.reports.append(seen)

    async def reported(self) -> list[str]:
        return self.reports


async def test_event_source_and_websocket_of_a_browser(tmp_path, chromium):
    """Events are taken up again by their id, messages go both ways, a Fault closes with its code."""
    async with aether.Cluster.open(Page, http=0) as cluster:
        browser = subprocess.Popen(  # noqa: ASYNC220 - it only has to be started
            [
                chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--no-first-run", "--disable-background-networking", "--no-proxy-server",
                f"--user-data-dir={tmp_path}", cluster.http_url,
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            reports = await until(cluster.get(Page).reported, STARTED_S, "the page reports")
        finally:
            browser.terminate()
            browser.wait(10)
    seen = json.loads(reports[0])
    assert seen["events"] == [[str(number), number] for number in range(1, 6)]
    assert seen["opens"] == 3
    assert seen["named"][:2] == ["2", "4"]
    assert seen["messages"] == [{"text": "a: hällo"}, {"text": "a: again"}, {"text": "a: again"}]
    assert seen["close"] == [4410, "Gone", True]
