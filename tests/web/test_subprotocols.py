"""Which subprotocol a WebSocket speaks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, TextMessage
from wsproto.events import Request as Opening

import aether
from aether.errors import BadInput, ContractError
from aether.slice_api.route_options import options_from, options_text
from aether.web.request import Request
from aether.web.websocket import accept_headers, agreed

NAMES = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, max_size=4)


@given(NAMES, NAMES, st.booleans())
def test_the_first_of_ours_that_is_offered_is_agreed_on(ours, offered, in_one_field):
    fields = [", ".join(offered)] if in_one_field else offered
    headers = [("sec-websocket-protocol", value) for value in fields] + [("sec-websocket-key", "x")]
    request = agreed(Request(verb="GET", path="/", headers=tuple(headers)), ours)
    chosen = request.header("sec-websocket-protocol") or ""
    if ours:
        assert chosen == next((name for name in ours if name in offered), "")
        assert accept_headers(request, chosen).get("Sec-WebSocket-Protocol", "") == chosen
    assert request.header("sec-websocket-key") == "x"


@given(NAMES)
def test_names_survive_the_row_of_a_route(names):
    assert options_from(options_text(None, None, names)).subprotocols == tuple(names)


@pytest.mark.parametrize("given_names", ["two words", ["ok", ""], ["a,b"], ["x" * 101], [str(n) for n in range(17)]])
def test_what_is_no_name_is_refused_where_it_is_written(given_names):
    with pytest.raises(ContractError, match="subprotocols"):
        aether.websocket("/a", subprotocols=given_names)


def test_a_row_of_another_release_that_cannot_be_read_is_bad_input():
    with pytest.raises(BadInput, match="malformed options"):
        options_from({"subprotocols": json.dumps({"a": 1}) + "x"})


@aether.slice(artifact="t:speaker:1.0.0")
class Speaker:
    @aether.websocket("/speak", subprotocols=("new", "old"))
    async def speak(self, chosen: Annotated[str, aether.Header("Sec-WebSocket-Protocol")]) -> AsyncIterator[str]:
        yield f"speaks {chosen or 'nothing'}"


@pytest.mark.parametrize(
    ("offered", "agreed_on"), [(["old", "new"], "new"), (["other", "old"], "old"), (["other"], None), ([], None)]
)
async def test_a_client_and_a_slice_agree_over_a_real_socket(offered, agreed_on):
    async with aether.Cluster.open(Speaker, http=0) as cluster:
        host, _, port = cluster.addresses.http_address.rpartition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        client = WSConnection(ConnectionType.CLIENT)
        await stream.send_all(client.send(Opening(host=host, target="/speak", subprotocols=offered)))
        found = []
        with trio.fail_after(5):
            while len(found) < 2:
                client.receive_data(await stream.receive_some())
                found += list(client.events())
        await trio.aclose_forcefully(stream)

    accepted, said = found[:2]
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == agreed_on
    assert isinstance(said, TextMessage)
    assert said.data == f"speaks {agreed_on or 'nothing'}"
