"""What each instance answered, as results and exceptions of the contract.

Knows: outcomes, and which exception a call to one instance alone would have raised.
Never: endpoints, waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from aether.errors import NoInstance, OutcomeUnknown
from aether.invocation.reply import Abandoned, Done, NotStarted, Outcome, Reply
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId
from aether.slice_api.call import Answers
from aether.slice_api.methods import MethodSpec


def answers_of(
    target: ArtifactBase,
    method: MethodSpec,
    heard: Mapping[InstanceId, Outcome | Exception],
    error: Callable[[MethodSpec, Reply], BaseException],
) -> Answers[object]:
    """error  what a call of `method` raises for a reply that is no Done"""
    results: dict[str, object] = {}
    failures: dict[str, Exception] = {}
    for instance, outcome in heard.items():
        if isinstance(outcome, Done):
            try:
                results[instance] = method.decode_result(outcome.payload)
            except Exception as failure:  # noqa: BLE001 - each instance has a failure of its own
                failures[instance] = failure
        else:
            failures[instance] = cast("Exception", _failure(target, method, instance, outcome, error))
    return Answers(results, failures)


def _failure(
    target: ArtifactBase,
    method: MethodSpec,
    instance: InstanceId,
    outcome: Reply | Abandoned | Exception,
    error: Callable[[MethodSpec, Reply], BaseException],
) -> BaseException:
    if isinstance(outcome, Exception):
        return outcome
    if isinstance(outcome, NotStarted):
        return NoInstance(str(target), "ACTIVE", f"{instance} did not take the call: {outcome.reason}")
    if isinstance(outcome, Abandoned):
        return OutcomeUnknown(f"{target}: it may have run on {instance}: {outcome.reason}")
    return error(method, outcome)
