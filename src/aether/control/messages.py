"""A question about the controller that one node puts to the leader, and the answer.

Knows: their fields and their plain spelling.
Never: what a topic means, who asks.
Holds: text from outside is checked before it is believed, and bounded by the frame that brought it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aether.errors import BadInput

TOPIC_CHARS_MAX: Final = 40
BODY_CHARS_MAX: Final = 4096


class ControlQuestion(NamedTuple):
    """number  the asker's, unique in its process; topic  such as `status`; body  JSON text"""

    number: int
    topic: str
    body: str


class ControlAnswer(NamedTuple):
    """of  the number of the question; answered  False: `text` says why not; else it is JSON, or the lines of a file"""

    number: int
    answered: bool
    text: str


def encode_question(m: ControlQuestion) -> Sequence[object]:
    return list(m)


def decode_question(fields: Sequence[object]) -> ControlQuestion:
    if [type(each) for each in fields] != [int, str, str]:
        raise BadInput("a question about the controller has other fields")
    question = ControlQuestion(*fields)  # type: ignore[arg-type]  # their types were just compared
    if len(question.topic) > TOPIC_CHARS_MAX or len(question.body) > BODY_CHARS_MAX:
        raise BadInput("a question about the controller is too long")
    return question


def encode_answer(m: ControlAnswer) -> Sequence[object]:
    return list(m)


def decode_answer(fields: Sequence[object]) -> ControlAnswer:
    if [type(each) for each in fields] != [int, bool, str]:
        raise BadInput("an answer about the controller has other fields")
    return ControlAnswer(*fields)  # type: ignore[arg-type]  # their types were just compared


Codec = tuple[type[Any], Callable[[Any], Sequence[object]], Callable[[Sequence[object]], Any]]

MESSAGES: Final[Mapping[int, Codec]] = {
    50: (ControlQuestion, encode_question, decode_question),
    51: (ControlAnswer, encode_answer, decode_answer),
}
"""Tag -> (class, encode, decode); an answer may be as long as a recording, so both travel beside calls."""
