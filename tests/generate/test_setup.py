"""What cannot be right is said at once, before any file is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.generate import setup as generate
from aether.generate.setup import NODES_MAX, Setup
from aether.model.limits import CORE_MAX
from aether.node import settings_table


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"name": "Shop"}, "--name"),
        ({"name": "a; rm -r b"}, "--name"),
        ({"name": "x" * 41}, "--name"),
        ({"namespace": "a b"}, "--namespace"),
        ({"image": 'a"b'}, "--image"),
        ({"image": ""}, "--image"),
        ({"storage": "much"}, "--storage"),
        ({"storage_class": "a b"}, "--storage-class"),
        ({"apps": ("shop", "$(id)")}, "--app"),
        ({"apps": ("shop\n",)}, "--app"),
        ({"hosts": ("10.0.0.1:8090 x",)}, "--host"),
        ({"hosts": ("a", "a")}, "--host"),
        ({"program": "aether"}, "--program"),
        ({"program": "/opt/a b"}, "--program"),
        ({"nodes": 0}, "--nodes"),
        ({"nodes": NODES_MAX + 1}, "--nodes"),
        ({"drain_s": 0}, "--drain"),
        ({"drain_s": float("nan")}, "--drain"),
        ({"plain_http": True, "tls": False}, "--plain-http"),
    ],
)
def test_what_a_shell_or_a_file_could_misread_is_refused(wrong, named):
    with pytest.raises(BadInput) as caught:
        Setup(**wrong).check()

    assert [problem for problem in caught.value.problems if problem.startswith(named)] == list(caught.value.problems)


def test_every_problem_is_said_at_once():
    with pytest.raises(BadInput) as caught:
        Setup(name="A", nodes=0, drain_s=-1).check()

    assert len(caught.value.problems) == 3


@given(st.integers(1, NODES_MAX))
def test_founders_are_an_odd_number_that_may_vote(nodes):
    founders = Setup(nodes=nodes).founders

    assert founders % 2 == 1
    assert founders <= min(nodes, CORE_MAX)
    assert founders >= min(nodes, CORE_MAX) - 1


def test_the_ports_are_those_of_a_node():
    for name in ("CLUSTER_PORT", "HTTP_PORT", "MANAGEMENT_PORT"):
        assert getattr(generate, name) == getattr(settings_table, name)
