"""Calls at their beginning: a name, a request id, a place below the call that makes them, the terms of their contract.

Knows: the call that the current task serves, terms, budgets.
Never: who is asked, what comes of it.
Holds: all calls made on behalf of a request have its id; none is longer than REQUEST_ID_CHARS_MAX.
"""

from __future__ import annotations

import trio

from aether.invocation.attempts_service import Attempts
from aether.invocation.endpoints import EndpointRegistry
from aether.invocation.outgoing import OutgoingCall
from aether.invocation.reply import Form
from aether.invocation.span import Span, call_name
from aether.invocation.tracer import Tracer
from aether.model.artifact import ArtifactBase
from aether.model.limits import REQUEST_ID_CHARS_MAX
from aether.slice_api.call import CallOptions
from aether.slice_api.current import RUNNING


class NewCalls:
    """Makes the calls of one node."""

    def __init__(self, registry: EndpointRegistry, attempts: Attempts, tracer: Tracer) -> None:
        self._registry = registry
        self._attempts = attempts
        self._tracer = tracer

    def new(
        self, target: ArtifactBase, method: str, payload: object, form: Form, request_id: str, options: CallOptions
    ) -> tuple[OutgoingCall, Span | None]:
        """The call, for which nobody waits yet, and the call that makes it."""
        now = trio.current_time()
        terms = self._registry.terms(target)
        running = RUNNING.get()
        name = call_name(target.name, method)
        parent: Span | None = None if running is None else running.span
        if running is not None:
            request_id = request_id or running.request_id
        if parent is None:
            span = Span(name, now)
            span.said = None if running is None else running.incoming
            request_id = request_id or self._tracer.request_id()
        else:
            span = parent.child(name, now)
        if len(request_id) > REQUEST_ID_CHARS_MAX:
            request_id = request_id[:REQUEST_ID_CHARS_MAX]
        call = OutgoingCall(
            target=target,
            method=method,
            payload=payload,
            form=form,
            request_id=request_id,
            options=options,
            span=span,
            idempotent=method in terms.idempotent or bool(options.key),
            began=now,
            within_s=terms.deadline_of(method),
        )
        self._attempts.budgets[target].calls += 1
        if terms.versions:
            self._settle_version(call)
        return call, parent

    def _settle_version(self, call: OutgoingCall) -> None:
        """While versions differ in deadlines, or in what may be repeated, the one that takes the call decides."""
        terms = self._attempts.settle_version(call)
        call.within_s = terms.deadline_of(call.method)
        call.idempotent = call.method in terms.idempotent or bool(call.options.key)
