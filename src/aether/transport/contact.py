"""An address without a name: who is there?

Knows: the handshake with whoever answers, back-off.
Never: what becomes of the answer.
Holds: asked until somebody answers; the connection that answered carries nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from aether.errors import BadInput
from aether.model.ids import NodeId
from aether.model.limits import HANDSHAKE_S
from aether.transport.handshake import BROKEN, dial, words
from aether.transport.peer import Peer, back_off_s
from aether.transport.secured import Wrap
from aether.wire.lane import Lane
from aether.wire.session import ANYBODY, Hello, Identity, Refused, RefusedCode


@attrs.frozen
class Contact:
    """`identity` asks who is at `address`. jitter  draws from [0, 1); refused, complain  told of each."""

    address: str
    identity: Identity
    wrap: Wrap | None
    jitter: Callable[[], float]
    refused: Callable[[Peer, str, Refused], None]
    complain: Callable[[Peer, str], None]

    async def find_out(self) -> NodeId | None:
        """The id of the node at the address, as soon as it answers; None when that is this node itself."""
        nameless = Peer(NodeId(self.address))
        failures = 0
        while True:
            try:
                return await self._ask()
            except Refused as refused:
                if refused.code is RefusedCode.SELF:
                    return None
                self.refused(nameless, self.address, refused)
            except trio.TooSlowError:
                self.complain(nameless, f"no answer from {self.address} within {HANDSHAKE_S} s")
            except (*BROKEN, BadInput) as error:
                self.complain(nameless, f"{self.address}: {words(error)}")
            await trio.sleep(back_off_s(failures, self.jitter()))
            failures += 1

    async def _ask(self) -> NodeId:
        with trio.fail_after(HANDSHAKE_S):
            link, welcome = await dial(self.address, Hello(self.identity, ANYBODY, Lane.CONSENSUS), self.wrap)
        link.close()
        return welcome.identity.node
