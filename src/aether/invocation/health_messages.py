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
from aether.model.health import VersionCounts
from aether.model.limits import VERSIONS_TOLD_MAX
from aether.model.version import Version


class CountsRequest(NamedTuple):
    """How did your calls to `target` go? number  the asker's, unique in its process"""

    number: int
    target: str


class CountsReply(NamedTuple):
    """They went like this. epoch  a random number of the process that counted, from its start"""

    number: int
    epoch: int
    versions: Mapping[Version, VersionCounts]


def encode_counts_request(m: CountsRequest) -> Sequence[object]:
    return [m.number, m.target]


def decode_counts_request(fields: Sequence[object]) -> CountsRequest:
    number, target = fields_of("counts", 2, fields)
    if type(number) is not int or type(target) is not str:
        raise BadInput("a field of a question for counts has the wrong type")
    return CountsRequest(number, target)


def encode_counts_reply(m: CountsReply) -> Sequence[object]:
    newest = sorted(m.versions, reverse=True)[:VERSIONS_TOLD_MAX]
    return [m.number, m.epoch, {str(version): _plain(m.versions[version]) for version in newest}]


def decode_counts_reply(fields: Sequence[object]) -> CountsReply:
    number, epoch, versions = fields_of("counts", 3, fields)
    if type(number) is not int or type(epoch) is not int or not isinstance(versions, dict):
        raise BadInput("a field of told counts has the wrong type")
    told = cast("dict[Any, Any]", versions)
    if len(told) > VERSIONS_TOLD_MAX:
        raise BadInput(f"counts of {len(told)} versions; at most {VERSIONS_TOLD_MAX} are told")
    return CountsReply(number, epoch, {Version.parse(str(version)): _read(counts) for version, counts in told.items()})


def _plain(counts: VersionCounts) -> list[object]:
    return [counts.requests, counts.errors, counts.seconds, [part for pair in counts.buckets.items() for part in pair]]


def _read(plain: object) -> VersionCounts:
    parts = cast("list[Any]", plain) if isinstance(plain, list) else []
    if [type(part) for part in parts] != [int, int, float, list]:
        raise BadInput(f"{plain!r:.80} are no counts of calls")
    requests, errors, seconds, pairs = parts
    return VersionCounts(requests=requests, errors=errors, seconds=seconds, buckets=_buckets(pairs))


def _buckets(pairs: list[int]) -> dict[int, int]:
    if len(pairs) % 2 or not all(type(part) is int for part in pairs):
        raise BadInput(f"{pairs!r:.80} is no histogram of latencies")
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


HEALTH_MESSAGES: Final = (
    MessageSpec(73, CountsRequest, "CALLS", encode_counts_request, decode_counts_request),
    MessageSpec(74, CountsReply, "CALLS", encode_counts_reply, decode_counts_reply),
)
