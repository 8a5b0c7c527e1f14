"""The question how a node's calls to one slice went, and its answer.

Knows: their fields and their plain spelling.
Never: lanes as objects, frames, who sends them.
Holds: counts from outside are checked before anybody adds them up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from aether.errors import BadInput
from aether.invocation.message_spec import MessageSpec, fields_of
from aether.model.call_counts import CallCounts
from aether.model.limits import VERSIONS_TOLD_MAX
from aether.model.version import Version


class CountsRequest(NamedTuple):
    """How did your calls to `target` go? number  the asker's, unique in its process"""

    number: int
    target: str


class ShareRequest(NamedTuple):
    """How did your calls to `target` go while you went by `share`? Answered as CountsRequest is."""

    number: int
    target: str
    share: str


class CountsReply(NamedTuple):
    """They went like this. epoch  a random number of the process that counted, from its start"""

    number: int
    epoch: int
    versions: Mapping[Version, CallCounts]


def encode_counts_request(m: CountsRequest) -> Sequence[object]:
    return [m.number, m.target]


def decode_counts_request(fields: Sequence[object]) -> CountsRequest:
    number, target = fields_of("counts", 2, fields)
    if type(number) is not int or type(target) is not str:
        raise BadInput("a field of a question for counts has the wrong type")
    return CountsRequest(number, target)


def encode_share_request(m: ShareRequest) -> Sequence[object]:
    return list(m)


def decode_share_request(fields: Sequence[object]) -> ShareRequest:
    number, target, share = fields_of("counts of a share", 3, fields)
    if type(number) is not int or type(target) is not str or type(share) is not str:
        raise BadInput("a field of a question for the counts of a share has the wrong type")
    return ShareRequest(number, target, share)


def encode_counts_reply(m: CountsReply) -> Sequence[object]:
    newest = sorted(m.versions, reverse=True)[:VERSIONS_TOLD_MAX]
    return [m.number, m.epoch, {str(version): m.versions[version].to_plain() for version in newest}]


def decode_counts_reply(fields: Sequence[object]) -> CountsReply:
    number, epoch, versions = fields_of("counts", 3, fields)
    if type(number) is not int or type(epoch) is not int or not isinstance(versions, dict):
        raise BadInput("a field of told counts has the wrong type")
    told = cast("dict[Any, Any]", versions)
    if len(told) > VERSIONS_TOLD_MAX:
        raise BadInput(f"counts of {len(told)} versions; at most {VERSIONS_TOLD_MAX} are told")
    counts = {Version.parse(str(version)): CallCounts.from_plain(plain) for version, plain in told.items()}
    return CountsReply(number, epoch, counts)


HEALTH_MESSAGES: Final = (
    MessageSpec(73, CountsRequest, "CALLS", encode_counts_request, decode_counts_request),
    MessageSpec(74, CountsReply, "CALLS", encode_counts_reply, decode_counts_reply),
    MessageSpec(77, ShareRequest, "CALLS", encode_share_request, decode_share_request),
)
