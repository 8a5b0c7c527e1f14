"""Bounds of a slice, as its decorator says them."""

import pytest

import aether
from aether.errors import BadInput, ContractError
from aether.slice_api.contract import contract_of


def test_a_slice_with_bounds_begins_with_one_instance_at_least():
    assert [aether.Scale(0, 20).start, aether.Scale(3, 20).start] == [1, 3]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((-1, 3), "min=-1"),
        ((0, 0), "max=0"),
        ((4, 3), "min=4 is above max=3"),
        ((True, 3), "min=True"),
        ((0, 10_000), "max=10000"),
        ((0, 3, 0), "idle_s=0"),
        ((0, 3, float("inf")), "idle_s=inf"),
    ],
)
def test_bounds_that_make_no_sense_are_refused_with_their_name(given, said):
    with pytest.raises(BadInput, match=said):
        aether.Scale(*given)


def test_the_decorator_takes_bounds_in_place_of_a_count():
    @aether.slice(artifact="a:light:1.0.0", instances=aether.Scale(0, 20))
    class Light:
        async def shine(self) -> int:
            return 1

    options = contract_of(Light).options
    assert (options.instances, options.scale) == (1, aether.Scale(0, 20))


def test_scale_is_no_option_of_its_own():
    with pytest.raises(ContractError, match="no option 'scale'"):
        aether.slice(scale=aether.Scale(0, 1))
