"""The arguments of a call that came without a request, and what its result is encoded by.

Knows: the forms of a payload that are no request.
Never: requests (slice_api, module http), what becomes of a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aether.invocation.reply import Form
from aether.slice_api.methods import MethodSpec


def decoded(spec: MethodSpec, payload: object, form: Form) -> dict[str, Any]:
    """By name, strictly. Raises BadInput."""
    return spec.decode_json(payload) if form is Form.JSON else spec.decode_arguments(payload)


def encoder(spec: MethodSpec, form: Form) -> Callable[[Any], Any]:
    """Makes a result, or an item of a stream, plain. It raises TypeError."""
    return spec.json_plain if form is Form.JSON else spec.encode_result
