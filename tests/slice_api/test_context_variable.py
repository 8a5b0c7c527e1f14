"""Context variables that travel: typed, bounded, undone with their block."""

import contextvars

import msgpack
import pytest
import trio

import aether
from aether.model.limits import CALL_CONTEXT_BYTES_MAX
from aether.slice_api.context_variable import read_carried
from aether.slice_api.current import RUNNING

TENANT = aether.ContextVar("test.tenant", str, default="nobody")
NUMBERS = aether.ContextVar("test.numbers", list[int])


def test_a_value_holds_for_its_block():
    with TENANT.set("acme"):
        assert TENANT.get() == "acme"
        with TENANT.set("other"):
            assert TENANT.get() == "other"
        assert TENANT.get() == "acme"
    assert TENANT.get() == "nobody"
    assert RUNNING.get() is None


def test_reset_undoes_a_set():
    token = TENANT.set("acme")
    TENANT.reset(token)

    assert TENANT.get() == "nobody"


def test_without_value_and_default_it_is_a_lookup_error_as_in_the_standard_library():
    with pytest.raises(LookupError, match=r"test\.numbers is not set"):
        NUMBERS.get()


def test_a_value_is_copied_so_that_nobody_changes_it_later():
    """Over the wire it would be a copy: what works in one process must work between two."""
    given = [1]
    with NUMBERS.set(given):
        given.append(2)
        NUMBERS.get().append(3)
        assert NUMBERS.get() == [1]


async def test_tasks_inherit_it_and_keep_their_changes_to_themselves():
    seen = []

    async def child():
        seen.append(TENANT.get())
        TENANT.set("child")

    with TENANT.set("acme"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
        assert TENANT.get() == "acme"
    assert seen == ["acme"]


def test_a_value_of_another_type_is_refused():
    with pytest.raises(aether.BadInput, match=r"context variable test\.tenant: value: expected str, got 7"):
        TENANT.set(7)


def test_a_value_that_a_caller_of_another_version_set_is_refused_when_it_is_read():
    with aether.ContextVar("test.tenant", int).set(7), pytest.raises(aether.BadInput, match="set by a caller"):
        TENANT.get()


def test_all_variables_of_a_call_together_are_bounded():
    """They travel with every call of every hop."""
    with pytest.raises(aether.BadInput, match="at most 32 of 8192 bytes together"):
        TENANT.set("x" * CALL_CONTEXT_BYTES_MAX)

    def many():
        for number in range(33):
            aether.ContextVar(f"test.many-{number}", int).set(number)

    with pytest.raises(aether.BadInput, match="33 variables"):
        contextvars.copy_context().run(many)


@pytest.mark.parametrize("name", ["", "a b", ".a", "a..b", "ü", "x" * 64])
def test_a_name_is_dotted(name):
    with pytest.raises(aether.ContractError, match="is no name of a context variable"):
        aether.ContextVar(name, str)


def test_a_type_without_a_codec_is_refused_where_the_variable_is_made():
    with pytest.raises(aether.ContractError, match=r"context variable test\.odd: object has no codec"):
        aether.ContextVar("test.odd", object)


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        "x",
        {"a": 1},
        {1: b"x"},
        {"a": b"x" * CALL_CONTEXT_BYTES_MAX},
        {f"k{i}": b"" for i in range(33)},
    ],
)
def test_of_what_a_peer_sends_beyond_the_bounds_nothing_is_read(plain):
    assert read_carried(plain) == {}


def test_a_value_that_is_no_msgpack_is_an_error_of_whoever_reads_it():
    token = RUNNING.set(aether.slice_api.current.Running(carried={"test.tenant": b"\xc1"}))
    try:
        with pytest.raises(aether.BadInput, match="it is no msgpack"):
            TENANT.get()
    finally:
        RUNNING.reset(token)
    assert read_carried({"test.tenant": msgpack.packb("a")}) == {"test.tenant": b"\xa1a"}
