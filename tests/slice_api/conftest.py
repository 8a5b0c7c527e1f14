"""Support for the tests of slice_api: plain data as it arrives after a trip."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from aether.slice_api.codec import Form, codec_of

Trip = Callable[[Any, Any], Any]


def over_wire(tp: Any, value: Any) -> Any:
    """`value` encoded, packed by msgpack with its default safety limits, unpacked and decoded."""
    codec = codec_of(tp, Form.WIRE)
    return codec.decode(msgpack.unpackb(msgpack.packb(codec.encode(value))))


def over_json(tp: Any, value: Any) -> Any:
    codec = codec_of(tp, Form.JSON)
    return codec.decode(json.loads(json.dumps(codec.encode(value), allow_nan=False)))


def over_camel(tp: Any, value: Any) -> Any:
    codec = codec_of(tp, Form.CAMEL)
    return codec.decode(json.loads(json.dumps(codec.encode(value), allow_nan=False)))


@pytest.fixture(params=[over_wire, over_json, over_camel], ids=["wire", "json", "camel"])
def trip(request: pytest.FixtureRequest) -> Trip:
    """A function (type, value) -> value after a trip, once for each form."""
    return request.param
