"""What a method raised, as it travels."""

import pytest

from aether.deployment.reasons import first_line
from aether.errors import BadInput, CallFailed, OutcomeUnknown, Overloaded
from aether.hosting.failures import MESSAGE_CHARS_MAX, TRACEBACK_CHARS_MAX, Place, failure_of, refusal_of
from aether.invocation.proxy import failed_error
from aether.invocation.reply import Failed, Faulted
from aether.slice_api.codec import Form
from aether.slice_api.faults import Fault

HERE = Place(slice="Pricing", instance="i1", node="n1")


class NoStock(Fault):
    """None left."""

    status = 409
    sku: str


class NoPrice(Fault):
    status = 404


def test_a_group_of_faults_of_one_status_keeps_the_status_and_lists_them_all():
    outcome = failure_of(ExceptionGroup("two", [NoStock(sku="a"), NoStock(sku="b")]), HERE, "place")

    assert isinstance(outcome, Faulted)
    assert outcome.fault.status == 409
    assert len(outcome.fault.fields["faults"]) == 2


@pytest.mark.parametrize("other", [ValueError("x"), NoPrice()])
def test_any_other_group_is_a_failure(other):
    """Two different answers are none: the caller gets a 500 with both in the traceback."""
    outcome = failure_of(ExceptionGroup("mixed", [NoStock(sku="a"), other]), HERE, "place")

    assert isinstance(outcome, Failed)
    assert outcome.kind == "ExceptionGroup"
    assert type(other).__name__ in outcome.traceback


def test_what_travels_is_bounded():
    """An exception that carries a whole document must not fill a frame."""
    outcome = failure_of(ValueError("x" * 10_000_000), HERE, "place")

    assert len(outcome.message) <= MESSAGE_CHARS_MAX
    assert len(outcome.traceback) <= TRACEBACK_CHARS_MAX


def test_a_faults_fields_are_spelt_as_the_callers_form_asks():
    """A slice that answers in camelCase does so for its faults too; between nodes one spelling serves all."""

    class TooMany(Fault):
        status = 409
        wanted_pieces: int

    place = Place(slice="S", instance="i", node="n")

    assert failure_of(TooMany(wanted_pieces=3), place, "m", Form.CAMEL).fault.fields == {"wantedPieces": 3}
    assert failure_of(TooMany(wanted_pieces=3), place, "m").fault.fields == {"wanted_pieces": 3}


class Draining(Exception):
    """An author's own class, which happens to bear the name of one of ours."""


class WarehouseFull(Overloaded):
    """An author's own kind of ours."""


def test_what_stopped_a_method_half_way_is_known_by_class_and_not_by_a_like_name():
    """A repeat is offered for the one and would only repeat a defect for the other."""
    theirs, ours, plain = (
        failure_of(error, HERE, "place") for error in (Draining("tea"), WarehouseFull("w", 3), KeyError("a"))
    )

    assert isinstance(failed_error(theirs), CallFailed)
    assert theirs.kind.endswith("test_failures.Draining")
    assert isinstance(failed_error(ours), OutcomeUnknown)
    assert (ours.kind, plain.kind) == ("Overloaded", "KeyError")


@pytest.mark.parametrize(("malformed", "status"), [(True, 400), (False, 422)])
def test_what_could_not_be_read_and_what_does_not_fit_have_their_own_status(malformed, status):
    """A client library that sends no JSON is broken; one that sends a wrong field has a wrong user."""
    refusal = refusal_of(BadInput("the body", ("qty: missing",), malformed=malformed))

    assert (refusal.fault.status, refusal.fault.fields["problems"]) == (status, ["qty: missing"])


class Untold(Exception):
    """Its author's mistake is in the telling."""

    def __str__(self):
        raise RuntimeError("no")


def test_an_exception_that_cannot_tell_its_message_is_a_failure_like_any_other():
    outcome = failure_of(Untold(), HERE, "place")

    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.message) == ("Untold", "(its message cannot be read)")
    assert first_line(Untold()) == "Untold: (its message cannot be read)"


def test_a_message_with_half_a_character_can_be_sent():
    outcome = failure_of(ValueError("half \udcff"), HERE, "place")

    assert isinstance(outcome, Failed)
    assert outcome.message == "half \\udcff"
    outcome.traceback.encode()
    first_line(ValueError("half \udcff")).encode()
