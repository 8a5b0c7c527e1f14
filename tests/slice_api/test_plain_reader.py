"""Reading plain data from outside: what fits is given back as it is, what does not is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.slice_api.plain_reader import PlainReader

READ = PlainReader("malformed thing")
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=5,
)


@given(plain)
def test_a_value_comes_back_as_it_is_or_not_at_all(value):
    for read, kind in ((READ.text, str), (READ.flag, bool), (READ.items, list)):
        if type(value) is kind:
            assert read({"x": value}, "x") is value
        else:
            with pytest.raises(BadInput, match="malformed thing: x: expected "):
                read({"x": value}, "x")


@given(st.integers(), st.integers(-5, 5), st.none() | st.integers(-5, 5))
def test_a_count_is_within_its_bounds(value, least, most):
    if value < least or (most is not None and value > most):
        with pytest.raises(BadInput, match="x: expected "):
            READ.count({"x": value}, "x", least, most)
    else:
        assert READ.count({"x": value}, "x", least, most) == value


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_only_whole_numbers_count(value):
    with pytest.raises(BadInput, match="x: expected an integer"):
        READ.count({"x": value}, "x", 0)


@pytest.mark.parametrize("value", [None, [], {1: "a"}, "{}"])
def test_a_table_has_names(value):
    with pytest.raises(BadInput, match="here: expected an object"):
        READ.table(value, "here")


def test_what_is_missing_does_not_fit_and_what_is_long_is_cut():
    with pytest.raises(BadInput, match="x: expected text, got None"):
        READ.text({}, "x")
    with pytest.raises(BadInput) as caught:
        READ.flag({"x": "y" * 1000}, "x")
    assert len(str(caught.value)) < 120
