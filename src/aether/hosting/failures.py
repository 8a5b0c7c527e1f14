"""What a method raised, as an outcome that can travel.

Knows: Faults, groups, which frames of a traceback belong to the runtime.
Never: cancellation and time-outs: those are no failures.
Holds: a group with one leaf leaves as that leaf; a group of Faults of one status keeps that status and lists them all.
"""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Final

import attrs

from aether.errors import BadInput, OutcomeUnknown, QuotaExceeded, TryAgain
from aether.hosting.arguments import decoded
from aether.invocation.reply import UNFINISHED, Failed, Faulted
from aether.invocation.reply import Form as WireForm
from aether.slice_api.codec import Form
from aether.slice_api.faults import FaultPlain, encode_fault, faults_in, leaving, sendable, text_of
from aether.slice_api.http import HttpInput
from aether.slice_api.methods import MethodSpec
from aether.slice_api.request_misfit import RequestMisfit

TRACEBACK_CHARS_MAX: Final = 16 * 1024
MESSAGE_CHARS_MAX: Final = 4 * 1024
BAD_INPUT: Final = "BadInput"
MANY_FAULTS: Final = "ExceptionGroup"
_TITLES: Final = {
    400: "Bad Request",
    406: "Not Acceptable",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
}
_RUNTIME: Final = ("aether.hosting", "aether.invocation", "aether.slice_api", "aether.work", "trio.", "outcome")


@attrs.frozen(kw_only=True)
class Place:
    """Where a call ran."""

    slice: str
    instance: str
    node: str


def failure_of(
    error: BaseException, place: Place, method: str, form: Form = Form.JSON, request_id: str = ""
) -> Faulted | Failed:
    """The outcome for what left a method. form  how the fields of a Fault are spelt for this caller"""
    error = leaving(error)
    faults = faults_in(error)
    try:
        plain = [encode_fault(fault, form) for fault in faults]
    except TypeError as misfit:  # its fields are not what it declares: a mistake of the method, as a wrong result is
        error, plain = misfit, []
    if len(plain) == 1:
        return Faulted(plain[0])
    if isinstance(error, QuotaExceeded):
        return Faulted(quota_fault(error))
    if plain:
        fields = {"faults": [_listed(each) for each in plain]}
        return Faulted(FaultPlain(MANY_FAULTS, faults[0].status, faults[0].title, text_of(error), fields))
    return Failed(
        kind=_kind(error),
        message=text_of(error)[:MESSAGE_CHARS_MAX],
        traceback=trimmed(error)[-TRACEBACK_CHARS_MAX:],
        slice=place.slice,
        method=method,
        instance=place.instance,
        node=place.node,
        request_id=request_id,
        original=error,
    )


def quota_fault(error: QuotaExceeded) -> FaultPlain:
    """A full map is no defect of the method: whoever called it learns which limit stands in the way."""
    fields: dict[str, object] = {"what": error.what, "limit": error.limit, "unit": error.unit}
    return FaultPlain(QuotaExceeded.__name__, 409, "Quota exceeded", str(error), fields)


def _kind(error: BaseException) -> str:
    """The class name. An author's subclass of an UNFINISHED goes by its base, a namesake of one by its module too."""
    cls = type(error)
    if isinstance(error, TryAgain | OutcomeUnknown):
        return next(base.__name__ for base in cls.__mro__ if base.__module__ == TryAgain.__module__)
    return f"{cls.__module__}.{cls.__name__}" if cls.__name__ in UNFINISHED else cls.__name__


def _listed(plain: FaultPlain) -> dict[str, object]:
    """One of several Faults, in the words of the problem document that it would be alone."""
    shown = {"fault": plain.name, "status": plain.status, "title": plain.title, "detail": plain.detail}
    return {**plain.fields, **shown}


def refusal_of(error: BadInput) -> Faulted:
    """The outcome for arguments that do not fit: the caller's mistake, 400 to 422, and every problem with its path."""
    fields: dict[str, object] = {"what": error.what, "problems": list(error.problems)}
    status = 400 if error.malformed else 422
    if isinstance(error, RequestMisfit):
        status = error.status
        fields["errors"] = [dict(each) for each in error.errors]
    return Faulted(FaultPlain(BAD_INPUT, status, _TITLES[status], str(error), fields))


def refused_arguments(spec: MethodSpec, payload: object, form: WireForm) -> Faulted | None:
    """The refusal of arguments that do not fit; None when they do."""
    try:
        if form is WireForm.HTTP:
            spec.decode_http(HttpInput.from_plain(payload))
        else:
            decoded(spec, payload, form)
    except BadInput as error:
        return refusal_of(error)
    return None


def trimmed(error: BaseException) -> str:
    """The traceback text without the runtime's frames above and between the author's."""
    kept = traceback.TracebackException.from_exception(error.with_traceback(_own_frames(error.__traceback__)))
    return sendable("".join(kept.format()))


def _own_frames(frames: TracebackType | None) -> TracebackType | None:
    """Drop the runtime's frames from the top; when nothing else is left, keep all."""
    own = frames
    while own is not None and str(own.tb_frame.f_globals.get("__name__", "")).startswith(_RUNTIME):
        own = own.tb_next
    return own or frames
