"""YAML that we write: another reader finds in it what was meant."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from aether.generate.yaml import Noted, documents, yaml_text

SCALARS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["yes", "No", "null", "~", "1", "0x10", "1e3", "2026-01-01", "a: b", "- a", "# a", "a #b", "", " "]
    ),
    st.sampled_from(["#!/bin/sh\nset -eu\n\necho a\n", " indented\nfirst\n", "a\n\n", "tail \nb\n", "one\n", "a\nb"]),
    st.integers(),
    st.booleans(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_read_back_is_what_was_written(value):
    assert yaml.safe_load(yaml_text(value)) == value


@given(st.lists(st.dictionaries(st.text(max_size=4), SCALARS, max_size=2), min_size=1, max_size=3))
def test_documents_stay_apart(values):
    assert list(yaml.safe_load_all(documents(*values))) == values


def test_a_note_stands_above_its_key_and_changes_nothing():
    text = yaml_text({"a": 1, "b": Noted("why\nso", [True])})

    assert text == "a: 1\n# why\n# so\nb:\n  - true\n"
    assert yaml.safe_load(text) == {"a": 1, "b": [True]}


def test_a_script_stays_readable():
    assert yaml_text({"run.sh": "#!/bin/sh\n\necho a\n"}) == "run.sh: |\n  #!/bin/sh\n\n  echo a\n"
