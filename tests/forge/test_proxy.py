"""A network that misbehaves on purpose, over real sockets: each fault alone, and gone again when healed."""

import contextlib
import os
import socket

import pytest
import trio

from aether.forge.processes import LocalPlan, LocalProcesses, NodePlace
from aether.forge.proxy import FaultyNetwork, WayFault
from aether.forge.socket_owner import is_supported, owner

A_TO_B, B_TO_A = ("a", "b"), ("b", "a")
BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)


class Net:
    """Node b echoes behind the network; node a dials it. `heard` is what b received."""

    def __init__(self, network, place, dial):
        self.network, self.place, self._dial = network, place, dial
        self.heard = bytearray()
        self.ends = []

    async def dial(self):
        return await self._dial(self.place)


async def silent(stream, seconds=0.2):
    """Whether nothing arrives: the one thing that takes a wait to see."""
    with trio.move_on_after(seconds) as scope:
        await stream.receive_some(100)
    return scope.cancelled_caught


@pytest.fixture
async def dial():
    """Opens connections that are closed in the end."""
    opened = []

    async def connect(place):
        opened.append(await trio.open_tcp_stream(*place))
        return opened[-1]

    yield connect
    for stream in opened:
        await trio.aclose_forcefully(stream)


async def read_to_end(stream):
    while await stream.receive_some(100):
        pass


@pytest.fixture
async def net(nursery, dial):
    async def echo(stream):
        with contextlib.suppress(*BROKEN):
            async for piece in stream:
                made.heard += piece
                await stream.send_all(piece)
            made.ends.append("eof")
            await stream.send_eof()
            return
        made.ends.append("reset")

    listeners = await nursery.start(trio.serve_tcp, echo, 0)
    target = listeners[0].socket.getsockname()[:2]
    network = FaultyNetwork({"b": ("127.0.0.1", target[1])}, lambda origin, entrance: "a")
    places = await nursery.start(network.run, {"b": ("127.0.0.1", 0)})
    made = Net(network, places["b"], dial)
    return made


async def test_a_sound_network_carries_everything_and_the_end(net):
    stream = await net.dial()
    sent = os.urandom(300_000)
    got = bytearray()

    async def send():
        await stream.send_all(sent)
        await stream.send_eof()

    with trio.fail_after(10):
        async with trio.open_nursery() as both:
            both.start_soon(send)
            async for piece in stream:
                got += piece

    assert got == sent
    assert net.ends == ["eof"]


async def test_a_stalled_way_holds_bytes_back_and_delivers_them_when_healed(net):
    stream = await net.dial()
    net.network.set_fault(*A_TO_B, WayFault(is_stalled=True))
    await stream.send_all(b"hello")

    assert await silent(stream)
    assert not net.heard
    net.network.heal()
    with trio.fail_after(5):
        assert await stream.receive_some(100) == b"hello"


async def test_one_way_alone_can_be_stalled(net):
    stream = await net.dial()
    net.network.set_fault(*B_TO_A, WayFault(is_stalled=True))
    await stream.send_all(b"hello")

    assert await silent(stream)
    assert net.heard == b"hello"


async def test_a_stalled_way_buffers_a_bounded_amount(net):
    """The sender must feel silence, and this process must not fill up."""
    stream = await net.dial()
    net.network.set_fault(*A_TO_B, WayFault(is_stalled=True))
    with trio.move_on_after(0.5) as scope:
        while True:
            await stream.send_all(bytes(1024 * 1024))
    assert scope.cancelled_caught


async def test_a_delay_is_added_to_each_byte_and_not_to_each_other(net):
    stream = await net.dial()
    net.network.set_fault(*A_TO_B, WayFault(delay_s=0.2))
    began = trio.current_time()
    with trio.fail_after(10):
        for number in range(5):
            await stream.send_all(b"%d" % number)
            await trio.sleep(0.01)
        got = b""
        while len(got) < 5:
            got += await stream.receive_some(100)
    took = trio.current_time() - began

    assert got == b"01234"
    assert took >= 0.2


async def test_a_slow_way_takes_its_time(net):
    stream = await net.dial()
    net.network.set_fault(*A_TO_B, WayFault(bytes_per_s=100_000))
    began = trio.current_time()
    with trio.fail_after(20):
        await stream.send_all(bytes(30_000))
        got = 0
        while got < 30_000:
            got += len(await stream.receive_some(65_536))

    assert trio.current_time() - began >= 0.29


async def test_a_reset_cuts_inside_a_message(net):
    stream = await net.dial()
    await stream.send_all(b"first")
    with trio.fail_after(5):
        assert await stream.receive_some(100) == b"first"
        assert net.network.reset(*A_TO_B) == 1
        await stream.send_all(b"0123456789")
        with pytest.raises(BROKEN):
            await read_to_end(stream)
        while not net.ends:
            await trio.sleep(0.01)

    assert b"0123456789" not in net.heard


async def test_a_half_open_connection_tells_the_dialler_nothing(net):
    stream = await net.dial()
    await stream.send_all(b"x")
    with trio.fail_after(5):
        assert await stream.receive_some(1) == b"x"
        assert net.network.half_open(*A_TO_B) == 1
        while not net.ends:
            await trio.sleep(0.01)
    await stream.send_all(b"into the void")

    assert await silent(stream)
    assert b"void" not in net.heard
    net.network.heal()
    with trio.fail_after(5), pytest.raises(BROKEN):
        await read_to_end(stream)


async def test_a_refusing_way_resets_new_connections_and_leaves_old_ones(net):
    old = await net.dial()
    await old.send_all(b"x")
    with trio.fail_after(5):
        assert await old.receive_some(1) == b"x"
        net.network.set_fault(*A_TO_B, WayFault(is_refusing=True))
        new = await net.dial()
        with pytest.raises(BROKEN):
            await new.receive_some(1)
        await old.send_all(b"y")
        assert await old.receive_some(1) == b"y"


async def test_a_node_that_is_down_resets_who_dials_it(nursery, dial):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        network = FaultyNetwork({"b": closed.getsockname()}, lambda origin, entrance: "a")
        places = await nursery.start(network.run, {"b": ("127.0.0.1", 0)})
        stream = await dial(places["b"])
        with trio.fail_after(5), pytest.raises(BROKEN):
            await stream.receive_some(1)


async def test_strangers_are_reset(nursery, dial):
    network = FaultyNetwork({"b": ("127.0.0.1", 9)}, lambda origin, entrance: None)
    places = await nursery.start(network.run, {"b": ("127.0.0.1", 0)})
    stream = await dial(places["b"])
    with trio.fail_after(5), pytest.raises(BROKEN):
        await stream.receive_some(1)


@pytest.mark.skipif(not is_supported(), reason="the table of connections is Linux's")
async def test_the_owner_of_the_other_end_is_found_by_its_ports():
    with socket.socket() as listener, socket.socket() as dialled:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        dialled.connect(listener.getsockname())
        local, remote = dialled.getsockname()[1], listener.getsockname()[1]

        assert owner([1, os.getpid()], local, remote) == os.getpid()
        assert owner([], local, remote) is None
        assert owner([os.getpid()], local, 1) is None


def test_nodes_are_put_where_the_plan_says(tmp_path):
    """Peers dial the entrance of a node, on its own port; the prefix comes before everything."""
    place = NodePlace(bind="127.0.0.1", dialled="127.0.0.2", prefix=("ip", "netns", "exec", "x"))
    plan = LocalPlan(nodes=2, apps=(), app_dir=tmp_path, folder=tmp_path, places={"node-1": place})
    with contextlib.closing(LocalProcesses(plan, lambda *_: None, None)) as processes:
        first, second = (processes.command(node) for node in processes.ports)

    assert first[:4] == ["ip", "netns", "exec", "x"]
    assert first[first.index("--advertise") + 1] == "127.0.0.2"
    assert "--advertise" not in second
    assert f"node-1:127.0.0.2:{processes.ports['node-1'].cluster}" in second[second.index("--peers") + 1]
