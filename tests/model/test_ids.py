"""Names are checked where they come in, since they become keys, file names and host names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.model.ids import NAME_CHARS_MAX, is_name, node_id


@pytest.mark.parametrize("text", ["n", "node-1", "Node_1", "a.b.c", "7", "x" * NAME_CHARS_MAX])
def test_letters_digits_and_inner_signs_make_a_name(text):
    """Host names and the original's node ids fit."""
    assert node_id(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "-a", "a-", ".a", "a.", "_a", "..", "a/b", "a b", "a:b", "a\n", "nöde", "a\x00b", "x" * (NAME_CHARS_MAX + 1)],
)
def test_anything_else_is_refused_with_the_rule(text):
    """The message teaches the rule."""
    assert not is_name(text)
    with pytest.raises(BadInput, match=r"is no node id: use letters, digits, and inner"):
        node_id(text)


@given(st.text(max_size=80))
def test_a_name_is_safe_as_a_segment_of_a_path_and_of_a_key(text):
    """No name leaves its directory or its key."""
    if is_name(text):
        assert text.isascii()
        assert not set(text) & set("/\\:%\0 \n")
        assert text not in {".", ".."}
