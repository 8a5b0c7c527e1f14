"""Calls out and calls in: the shell of the room.

Knows: pending calls by correlation id, served calls by caller; deadlines by trio's cancel scopes.
Never: how an instance runs, which instances exist, exceptions of user code.
Holds: the pending table is touched by this object alone, and only from the loop; a call is in it exactly while its task is
       parked. Every served call is one task of the Invoker's own nursery, or the caller's own task when co-located.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, NoReturn

import attrs
import msgpack
import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT

from aether.errors import AetherError, BadInput, NoInstance, OutcomeUnknown, Overloaded
from aether.invocation.balance import Load, Loads, choose
from aether.invocation.endpoints import Endpoint, EndpointRegistry
from aether.invocation.hops import Hop, describe, path_text
from aether.invocation.local import LocalHost, LocalInstance
from aether.invocation.messages import CallCancel, CallReply, CallRequest
from aether.invocation.reply import (
    FULL,
    LATE,
    REFUSED,
    UNKNOWN_INSTANCE,
    Abandoned,
    Done,
    Failed,
    Faulted,
    Form,
    NotStarted,
    Outcome,
    Reply,
    TimedOut,
    decode_reply,
    encode_reply,
)
from aether.invocation.retry import GiveUp, Repeat, RetryBudget, Try, Verdict, decide_retry
from aether.invocation.span import Span, call_name
from aether.model.artifact import ArtifactBase
from aether.model.ids import NodeId
from aether.model.limits import CALLS_IN_FLIGHT_MAX

Send = Callable[[NodeId, object, str], bool]


class Invoker:
    """Makes and serves the calls of one node.

    send    the transport's: (peer, message, request id) -> False when there is no connection or its mailbox is full
    wire    force co-located calls through msgpack, so that tests see what a remote caller would
    """

    def __init__(
        self,
        node: NodeId,
        registry: EndpointRegistry,
        send: Send,
        host: LocalHost,
        *,
        rng: random.Random | None = None,
        wire: bool = False,
        in_flight_max: int = CALLS_IN_FLIGHT_MAX,
    ) -> None:
        raise NotImplementedError

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled; cancelling it cancels every served call."""
        raise NotImplementedError

    async def call(
        self, target: ArtifactBase, method: str, payload: object, *, form: Form, request_id: str = ""
    ) -> Reply:
        """Run `method` on some ACTIVE instance of `target`; never NotStarted.

        The deadline is the caller's own (trio.fail_after), capped by the default of the contract.
        Raises NoInstance, Overloaded, OutcomeUnknown. Cancelling the caller cancels the callee.
        """
        raise NotImplementedError

    def deliver(self, sender: NodeId, message: object, request_id: str) -> None:
        """A message of this room from a peer. Never blocks."""
        raise NotImplementedError

    def peer_lost(self, node: NodeId) -> None:
        """The connection to `node` is gone: calls in flight to it end at once, calls served for it are cancelled."""
        raise NotImplementedError

    def endpoints_changed(self) -> None:
        """The registry was rebuilt: wake calls that wait for an instance."""
        raise NotImplementedError
