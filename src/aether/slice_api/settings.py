"""Values of configuration and secrets from their text.

Knows: text for values without parts, comma-separated text for lists of them, JSON for everything else.
Never: where the text was found.
Holds: the error about a secret names its key, and never shows its value.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aether.errors import BadInput
from aether.slice_api.annotations import NoCodec, TypeOf
from aether.slice_api.codec import Codec, Form, codec_of
from aether.slice_api.misfit import Misfit
from aether.slice_api.textual import texts_of


def reader_of(tp: TypeOf, key: str, *, secret: bool) -> Callable[[str], Any]:
    """A function from the text under `key` to a value of `tp`; it raises BadInput. Raises NoCodec."""
    read = text_reader(tp)

    def read_named(text: str) -> Any:
        try:
            return read(text)
        except Misfit as error:
            what = f"{'secret' if secret else 'config'} {key} does not fit"
            # The problems show the value, so a secret's are left out, and so is the chain to them.
            raise BadInput(what, () if secret else error.lines(key)) from None

    return read_named


def text_reader(tp: TypeOf) -> Callable[[str], Any]:
    """A function from one text to a value of `tp`; it raises Misfit. Raises NoCodec."""
    try:
        return texts_of(tp).split
    except NoCodec:
        return _json_reader(codec_of(tp, Form.JSON))


def _json_reader(codec: Codec) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Misfit(("", f"expected JSON: {error}")) from None
        return codec.decode(plain)

    return read
