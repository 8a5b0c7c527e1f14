"""Idempotency keys: what a row says of a key, and what a call with that key does about it.

Knows: how a key and the arguments of a call become digests, when a row is out of date, when its run can end no more.
Never: the store, tasks, clocks: log time is passed in.
Holds: of one key of one method that is not idempotent, the method is begun at most once within the window.
Paper: the IETF draft "The Idempotency-Key HTTP Header Field", whose rules hold for every call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs
import msgpack

from aether.errors import BadInput
from aether.invocation.local import Around
from aether.invocation.reply import Abandoned, Done, Failed, Faulted, Form, Outcome, decode_reply, encode_reply
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId
from aether.model.limits import CALL_ANSWER_BYTES_MAX, CALL_KEY_KEPT_S, IDEMPOTENCY_KEY_CHARS_MAX
from aether.model.rows import CallKeyRow, KeyState
from aether.slice_api.faults import FaultPlain
from aether.slice_api.http import HttpInput

if TYPE_CHECKING:  # a worker starts without what describes contracts
    from aether.slice_api.described import AnyMethod

KEY: Final = "key"  # in CallRequest.extra
KEPT_MS: Final = int(CALL_KEY_KEPT_S * 1000)
_DIGEST_BYTES: Final = 16


@attrs.frozen(kw_only=True)
class Keyed:
    """A call with a key, at its instance. name  `Slice.method`; left_s  until its deadline"""

    target: ArtifactBase
    method: str
    instance: InstanceId
    key: str
    payload: object
    form: Form
    name: str
    left_s: float


WithKey: TypeAlias = Callable[[Keyed], Around | None]


def no_keys(_: Keyed) -> None:
    """Keep none."""


@attrs.frozen
class Take:
    """Nobody holds the key: write the row, then run."""


@attrs.frozen
class Wait:
    """The call that holds the key still runs."""


@attrs.frozen
class Answer:
    """What this call gets, without running."""

    reply: Done | Faulted | Failed


Step: TypeAlias = Take | Wait | Answer


def read_key(extra: Mapping[str, object]) -> str:
    """The key of a request, "" = none. Raises BadInput."""
    key = extra.get(KEY, "")
    if not isinstance(key, str) or len(key) > IDEMPOTENCY_KEY_CHARS_MAX:
        raise BadInput(f"{key!r:.40} is no idempotency key")
    return key


def key_digest(key: str, form: Form, payload: object) -> str:
    """How the key is spelt in the store. Over HTTP each credential has keys of its own: nobody guesses another's."""
    owner = ""
    if form is Form.HTTP:
        owner = HttpInput.from_plain(payload).headers.get("authorization", "")
    return _digest([form.value, owner, key]).hex()


def arguments_digest(form: Form, payload: object) -> bytes:
    """Equal for calls that ask for the same. Of a request: what says what is wanted, not who carries it."""
    if form is Form.HTTP:
        asked = HttpInput.from_plain(payload)
        payload = [asked.verb, asked.template, asked.path, asked.query, asked.body, asked.content_type]
    return _digest(payload)


def _digest(plain: object) -> bytes:
    packed: Any = cast("Any", msgpack).packb(_ordered(plain))
    return hashlib.sha256(packed).digest()[:_DIGEST_BYTES]


def _ordered(plain: object) -> object:
    """With every map in the order of its keys: Python keeps the order in which a caller named its arguments."""
    if isinstance(plain, Mapping):
        entries = cast("Mapping[object, object]", plain)
        return ["map", *([repr(k), _ordered(v)] for k, v in sorted(entries.items(), key=lambda item: repr(item[0])))]
    if isinstance(plain, list | tuple):
        return ["list", *(_ordered(item) for item in cast("list[object]", plain))]
    return plain


def keeps_own_book(method: AnyMethod | None, form: Form) -> bool:
    """Whether the method reads the header itself, and so recognises repeats by itself."""
    return method is not None and form is Form.HTTP and method.reads_key


def decide_key(
    row: CallKeyRow | None, arguments: bytes, *, held: bool, now_ms: int, idempotent: bool, name: str
) -> Step:
    """What a call with this key does.

    row   of the key, as applied here; held  the instance that it names runs still
    name  `Slice.method`, for messages; idempotent  a run that was cut off may be repeated
    """
    if row is None or (now_ms - row.at_ms >= KEPT_MS and not (row.state is KeyState.RUNNING and held)):
        return Take()
    if row.arguments != arguments:
        return Answer(_refused(name))
    if row.state is KeyState.ANSWERED:
        return Answer(_stored(row, name))
    if row.state is KeyState.RUNNING and held and now_ms < row.until_ms:
        return Wait()
    if idempotent:
        return Take()
    return Answer(_unknown(row, name, f"the first call with this key began on {row.node} and was cut off"))


def ended_row(row: CallKeyRow, outcome: Outcome | None, *, idempotent: bool) -> CallKeyRow | None:
    """The row once its run came to `outcome` (None: cut off); None = free the key, for nothing is to be kept."""
    if isinstance(outcome, Done) or (isinstance(outcome, Faulted) and outcome.fault.name != "BadInput"):
        return _answered(row, outcome)
    if isinstance(outcome, Failed) and not idempotent:
        return _answered(row, outcome)
    if (outcome is None or isinstance(outcome, Abandoned)) and not idempotent:
        return _with(row, KeyState.CUT_OFF)
    return None


def _with(row: CallKeyRow, state: KeyState, answer: bytes = b"") -> CallKeyRow:
    changes: dict[str, Any] = {"state": state, "answer": answer}
    return attrs.evolve(row, **changes)


def _answered(row: CallKeyRow, outcome: Outcome) -> CallKeyRow:
    packed: bytes = cast("Any", msgpack).packb(encode_reply(outcome))
    kept = packed if len(packed) <= CALL_ANSWER_BYTES_MAX else b""
    return _with(row, KeyState.ANSWERED, kept)


def _stored(row: CallKeyRow, name: str) -> Done | Faulted | Failed:
    if not row.answer:
        return _unknown(
            row, name, f"it happened, and its answer was larger than the {CALL_ANSWER_BYTES_MAX} bytes kept"
        )
    reply = decode_reply(cast("Any", msgpack).unpackb(row.answer))
    if not isinstance(reply, Done | Faulted | Failed):
        raise BadInput(f"the row of a key of {name} holds {type(reply).__name__}, which is no answer")
    return reply


def _unknown(row: CallKeyRow, name: str, why: str) -> Failed:
    slice_name, _, method = name.rpartition(".")
    return Failed(
        kind="OutcomeUnknown", message=f"{name}: {why}", slice=slice_name, method=method, instance=row.instance,
        node=row.node,
    )  # fmt: skip


def _refused(name: str) -> Faulted:
    what = f"this idempotency key of {name} belongs to a call with other arguments; use a new key for a new call"
    fields = {"what": what, "problems": list[str]()}
    return Faulted(FaultPlain("BadInput", 422, "Unprocessable Content", what, fields))
