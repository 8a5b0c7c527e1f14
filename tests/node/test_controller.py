"""Controllers by name: the built-in one, and what goes wrong with those of other distributions."""

import pytest

from aether.control.decision_tree import DecisionTreeController
from aether.errors import BadInput, NotFound
from aether.node import controller
from aether.node.controller import make_controller


def test_the_tree_is_built_in():
    assert isinstance(make_controller("decision_tree"), DecisionTreeController)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(NotFound, match="decision_tree"):
        make_controller("nobody")


def test_one_that_cannot_be_made_is_told_with_its_reason(monkeypatch):
    def broken():
        raise ImportError("no numpy")

    monkeypatch.setattr(controller, "load_plugin", lambda group, name: broken)

    with pytest.raises(BadInput, match="no numpy"):
        make_controller("forecast")
