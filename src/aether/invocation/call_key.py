"""The value of one named parameter of a call, as text that is the same at every caller, and the hash of such a text.

Knows: every form of a payload.
Never: contracts: a caller chooses before anything is structured; the callee checks the arguments.
Holds: 7 in a typed call and `7` in a path are one key. "" = the call does not say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from aether.invocation.reply import Form

KEY_CHARS_MAX: Final = 1_024
_PATH, _QUERY, _HEADERS, _COOKIES, _BODY = 2, 3, 4, 5, 6  # places in HttpInput.to_plain()


def key_of(payload: object, form: Form, parameter: str) -> str:
    """The argument `parameter` of the call; no key when it is absent or no argument can be told."""
    value = _from_request(payload, parameter) if form is Form.HTTP else _argument(payload, parameter)
    return _text(value)[:KEY_CHARS_MAX]


def hash_of(text: str) -> int:
    """64 bits that are the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _argument(payload: object, parameter: str) -> object:
    return cast("Mapping[str, object]", payload).get(parameter) if isinstance(payload, Mapping) else None


def _from_request(payload: object, parameter: str) -> object:
    if not isinstance(payload, list | tuple) or len(cast("Sequence[object]", payload)) <= _BODY:
        return None
    parts = cast("Sequence[Any]", payload)
    names = (parameter, _camel(parameter))
    for place in (_PATH, _QUERY):
        for name in names:
            if name in parts[place]:
                found: Any = parts[place][name]
                return found if place == _PATH else next(iter(found), None)
    dashed = parameter.replace("_", "-")
    if dashed in parts[_HEADERS]:
        return parts[_HEADERS][dashed]
    if parameter in parts[_COOKIES]:
        return parts[_COOKIES][parameter]
    body = _json(parts[_BODY])
    return next((body[name] for name in names if name in body), None)


def _json(raw: object) -> Mapping[str, object]:
    if not isinstance(raw, bytes) or not raw.startswith((b"{", b" ", b"\n", b"\r", b"\t")):
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return {}  # the callee says what is wrong with it
    return cast("dict[str, object]", body) if isinstance(body, dict) else {}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value, sort_keys=True, default=str)
