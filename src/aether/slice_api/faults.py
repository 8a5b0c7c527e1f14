"""Faults: the errors that are part of a contract.

Knows: how a Fault class is made from its annotations, its plain form, which Fault leaves a group.
Never: HTTP responses, calls.
Holds: a Fault is known by its class name, never by its module; status and title belong to the class.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final, cast

import attrs
from typing_extensions import dataclass_transform

from aether.errors import AetherError, BadInput, ContractError
from aether.slice_api.annotations import NoCodec
from aether.slice_api.codec import Form, codec_of
from aether.slice_api.misfit import Misfit, array

RESERVED: Final = frozenset(
    {"args", "detail", "faults", "instance", "request_id", "status", "title", "trace_id", "type"}
)
"""Members of a problem document (RFC 9457) and of exceptions: no field may have these names."""


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(attrs.field,))
class Fault(AetherError):
    """Base of the errors a slice may answer with: the same class, with its fields, arrives at the caller.

    Declare fields by annotation; they are keyword-only. Class attributes `status` (HTTP, 400 to 599) and `title` are
    assigned without annotation; the docstring is the default detail. Raises ContractError at definition when a field
    has a reserved name. Source: RFC 9457 for the HTTP form.

        class OutOfStock(aether.Fault):
            \"\"\"There is not enough in stock.\"\"\"
            status = 409
            sku: str
    """

    status: ClassVar[int] = 409
    title: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _check(cls)
        attrs.define(cls, slots=False, eq=False, kw_only=True, auto_attribs=True, field_transformer=_same_alias)
        if "title" not in cls.__dict__:
            cls.title = _words(cls.__name__)

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in fields_of(self).items())
        detail = detail_of(type(self))
        return f"{detail} ({shown})" if shown else detail

    def __reduce__(self) -> tuple[Callable[..., Fault], tuple[Any, ...]]:
        return _again, (type(self), dict(self.__dict__))


@attrs.frozen
class FaultPlain:
    """A Fault as plain data: `fields` is JSON-safe, so that a node without the class can answer HTTP with it."""

    name: str
    status: int
    title: str
    detail: str
    fields: Mapping[str, Any] = attrs.field(factory=dict[str, Any])

    def to_plain(self) -> list[Any]:
        """The array form that travels."""
        return [self.name, self.status, self.title, self.detail, dict(self.fields)]

    @classmethod
    def from_plain(cls, plain: object) -> FaultPlain:
        """Read `to_plain()`'s array. Raises BadInput when a part is missing or of another type."""
        parts = array(plain, (str, int, str, str, dict))
        if parts is None or not 400 <= parts[1] <= 599:
            raise BadInput(
                "malformed fault in a reply", (f"expected 5 parts and a status of an error, got {plain!r:.80}",)
            )
        return cls(*parts)


def fields_of(fault: Fault) -> dict[str, Any]:
    """Field names and values, in the order of declaration."""
    declared: tuple[attrs.Attribute[Any], ...] = getattr(type(fault), "__attrs_attrs__", ())
    return {a.name: getattr(fault, a.name) for a in declared}


def detail_of(cls: type[Fault]) -> str:
    """The first paragraph of the class's own docstring, else its title."""
    own = cls.__dict__.get("__doc__")
    paragraph = inspect.cleandoc(own).split("\n\n")[0].replace("\n", " ") if isinstance(own, str) else ""
    return paragraph or cls.title


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions inside `error`, groups opened; `error` itself when it is no group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves(inner)
    else:
        yield error


def leaving(error: BaseException) -> BaseException:
    """What leaves a slice: a group with one leaf leaves as that leaf, anything else as it is."""
    found = list(leaves(error))
    return found[0] if len(found) == 1 else error


def text_of(error: BaseException) -> str:
    """Its message, as text that can be sent: code of others may raise when it is asked, or give half a character."""
    try:
        return sendable(str(error))
    except Exception:  # noqa: BLE001 - what went wrong in telling is less than what is to be told
        return "(its message cannot be read)"


def sendable(text: str) -> str:
    """`text` with what no encoding can spell written out."""
    return text.encode(errors="backslashreplace").decode()


def faults_in(error: BaseException) -> tuple[Fault, ...]:
    """Every Fault of `error` when all its leaves are Faults of one status; otherwise ()."""
    found = list(leaves(error))
    faults = tuple(leaf for leaf in found if isinstance(leaf, Fault))
    same = len(faults) == len(found) and len({fault.status for fault in faults}) == 1
    return faults if same else ()


def fault_classes() -> Iterator[type[Fault]]:
    """Every Fault class this process has defined, oldest first."""
    waiting = list(Fault.__subclasses__())
    while waiting:
        cls = waiting.pop(0)
        if "__attrs_attrs__" in cls.__dict__:  # a class that was refused at its definition may linger without fields
            yield cls
        waiting.extend(cls.__subclasses__())


def fault_class(name: str, near: type) -> type[Fault] | None:
    """The Fault class called `name` that the class `near` means: of its module, bound there, of its package, or any.

    Of several in one place the newest wins, as for names in Python.
    """
    module, package = near.__module__, near.__module__.partition(".")[0]
    bound = getattr(sys.modules.get(module), name, None)
    best, best_rank = None, 4
    for cls in fault_classes():
        if cls.__name__ == name:
            same_package = cls.__module__.partition(".")[0] == package
            rank = 0 if cls.__module__ == module else 1 if cls is bound else 2 if same_package else 3
            if rank <= best_rank:
                best, best_rank = cls, rank
    return best


def encode_fault(fault: Fault, form: Form = Form.JSON) -> FaultPlain:
    """`fault` as plain data. Raises TypeError when a field does not fit its annotation."""
    cls = type(fault)
    try:
        fields = codec_of(cls, form).encode(fault)
    except (Misfit, NoCodec) as error:
        raise TypeError(f"the fault {cls.__name__} does not fit its own fields: {error}") from error
    return FaultPlain(cls.__name__, cls.status, cls.title, detail_of(cls), fields)


def decode_fault_as(cls: type[Fault], plain: FaultPlain) -> Fault | None:
    """A fault of `cls` with the fields of `plain`; None when they do not fit, as between two versions of a slice."""
    try:
        return codec_of(cls, Form.JSON).decode(dict(plain.fields))  # type: ignore[no-any-return]  # of cls
    except (Misfit, NoCodec):
        return None


def _check(cls: type[Fault]) -> None:
    own = inspect.get_annotations(cls)
    for name in ("status", "title"):
        if name in own:
            value = cls.__dict__.get(name, 409 if name == "status" else "...")
            raise ContractError(
                f"{cls.__name__}.{name} has an annotation, which would make it a field; write `{name} = {value!r}`"
            )
    for name in own:
        if name in RESERVED or hasattr(Exception, name) or name.startswith("_"):
            raise ContractError(
                f"{cls.__name__}.{name}: the name is reserved ({', '.join(sorted(RESERVED))}, names of exceptions, and "
                f"names with a leading underscore); choose another, such as `the_{name.strip('_')}`"
            )
    if "__init__" in cls.__dict__:
        raise ContractError(f"{cls.__name__} has its own __init__; declare its fields by annotation instead")
    status = cls.status
    if type(status) is not int or not 400 <= status <= 599:
        raise ContractError(f"{cls.__name__}.status is {status!r}; an HTTP status of an error is 400 to 599")


def _same_alias(cls: type, declared: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    return [a.evolve(alias=a.name) for a in declared]


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).capitalize()


def _again(cls: type[Fault], state: dict[str, Any]) -> Fault:
    fault = cls.__new__(cls)
    fault.__dict__.update(state)
    fault.args = tuple(fields_of(fault).values())
    return fault
