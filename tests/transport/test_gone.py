"""A peer whose host says that nobody listens is gone; one that is only silent is not."""

import socket

import trio

from aether.transport.peer import Peer


async def test_a_peer_that_ended_is_gone_until_it_listens_again(tcp_world):
    """The end of a process shows within a moment; that of a link looks like silence."""
    a, b = await tcp_world.pair()
    assert a.transport.gone() == frozenset()

    b.stop()
    with trio.fail_after(10):
        while "b" not in a.transport.gone():
            await trio.sleep(0.01)
    assert "b" not in a.transport.connected()

    again = await tcp_world.start("b2", bind=b.address)
    with trio.fail_after(10):
        while "b" in a.transport.gone():
            await trio.sleep(0.01)
    again.stop()


async def test_a_peer_that_accepts_and_says_nothing_is_not_gone(tcp_world):
    """A process that stands still may go on, with all that it hosts."""
    a = await tcp_world.start("a")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        a.transport.set_peer("b", f"127.0.0.1:{mute.getsockname()[1]}")
        await trio.sleep(0.1)
        assert a.transport.gone() == frozenset()


def test_every_address_of_a_peer_must_refuse():
    """A wrong address in a list says nothing of the process at the right one."""
    peer = Peer("b", configured="h:1", remembered="h:2")
    _refuse(peer, "h:1")
    assert not peer.is_refusing
    _refuse(peer, "h:2")
    assert peer.is_refusing
    peer.advertised = "h:3"
    assert not peer.is_refusing
    peer.advertised = ""
    with peer.trying("h:1"):
        pass
    assert not peer.is_refusing
    assert not Peer("c").is_refusing, "nobody knows where to ask"


def _refuse(peer, address):
    try:
        with peer.trying(address):
            raise ConnectionRefusedError
    except ConnectionRefusedError:
        pass
