import pytest

from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.limits import TRAFFIC_RULE_CHARS_MAX, TRAFFIC_RULES_MAX
from aether.model.rows import TrafficRow
from aether.model.traffic_rules import RuleKind, TrafficRule, parse_rule, rule_problems

BASE = ArtifactBase.parse("shop:pricing")


@pytest.mark.parametrize(
    ("text", "rule", "field"),
    [
        ("header:X-Beta=yes", TrafficRule(RuleKind.HEADER, "x-beta", "yes"), "header:x-beta"),
        ("header:x-beta= a=b ", TrafficRule(RuleKind.HEADER, "x-beta", "a=b"), "header:x-beta"),
        ("cookie:Group=B", TrafficRule(RuleKind.COOKIE, "Group", "B"), "cookie:Group"),
        ("key=ann", TrafficRule(RuleKind.KEY, "", "ann"), ""),
        ("key= a b", TrafficRule(RuleKind.KEY, "", " a b"), ""),
    ],
)
def test_a_rule_is_read(text, rule, field):
    assert parse_rule(text) == rule
    assert rule.field == field


@pytest.mark.parametrize(
    "text", ["", "key", "key=", "header=1", "header:=1", "header:x y=1", "header:x", "query:x=1", "key=" + "a" * 600]
)
def test_what_is_no_rule_is_named(text):
    with pytest.raises(BadInput) as caught:
        parse_rule(text)
    assert repr(text)[:60] in str(caught.value)
    assert len(text) > TRAFFIC_RULE_CHARS_MAX or "header:NAME=VALUE" in str(caught.value)


def test_a_traffic_row_lists_every_rule_and_version_that_does_not_fit():
    rules = {"key=ann": "2.0.0", "header:x": "2.0.0", "cookie:a=b": "two"}
    with pytest.raises(BadInput) as caught:
        TrafficRow(artifact=BASE, weights={"1.0.0": -1}, rules=rules)
    text = str(caught.value)
    assert "'header:x'" in text
    assert "'two'" in text
    assert "-1" in text
    assert "key=ann" not in text


def test_rules_are_bounded():
    (problem,) = rule_problems([f"key={n}" for n in range(TRAFFIC_RULES_MAX + 1)])
    assert str(TRAFFIC_RULES_MAX) in problem
