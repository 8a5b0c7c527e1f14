"""The keys of a slice beside its artifact, and those of the whole blueprint."""

import pytest

from aether.errors import BadInput
from aether.model.blueprint import Mode
from aether.model.blueprint_toml import parse_blueprint
from aether.model.limits import DEPLOYMENT_S
from aether.model.placing import ANYWHERE, Kind, Placing
from aether.model.rollout import Strategy


def one(fields):
    return parse_blueprint(f'[[slices]]\nartifact = "a:b:1.0.0"\n{fields}').slices[0]


def problems(text):
    with pytest.raises(BadInput) as caught:
        parse_blueprint(text)
    return list(caught.value.problems)


def slice_problems(fields):
    return [line.removeprefix("slices[0].") for line in problems(f'[[slices]]\nartifact = "a:b:1.0.0"\n{fields}')]


def test_without_a_key_everything_is_left_to_the_slice():
    """A new key must not change old blueprints."""
    wish = one("")
    assert (wish.instances, wish.instances_min, wish.instances_max, wish.min_available) == (None, None, None, "")
    assert (wish.placing, wish.singleton, wish.timeouts_s, wish.drain_s) == (ANYWHERE, False, {}, None)
    blueprint = parse_blueprint("slices = []")
    assert (blueprint.mode, blueprint.strategy, blueprint.timeout_s) == (
        Mode.BEST_EFFORT,
        Strategy.ROLLING,
        DEPLOYMENT_S,
    )


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("instances = 3", (3, None, None)),
        ("instances = { min = 2, max = 9 }", (None, 2, 9)),
        ("instances = { max = 9 }", (None, 1, 9)),
        ("instances = { min = 0 }", (None, 0, None)),
    ],
)
def test_only_a_written_zero_lets_a_slice_scale_to_zero(text, bounds):
    wish = one(text)
    assert (wish.instances, wish.instances_min, wish.instances_max) == bounds


def test_a_placement_is_read_whole():
    wish = one(
        'placement = { labels = { disk = "ssd" }, spread = "zone", max_per_node = 2, pin = ["n1", "n2"],'
        ' on = "workers", strategy = "bin_pack" }'
    )
    assert wish.max_per_node == 2
    assert wish.placing == Placing(
        strategy="bin_pack", labels={"disk": "ssd"}, spread="zone", pin=("n1", "n2"), kind=Kind.WORKERS
    )


def test_a_slice_may_be_kept_from_moving_for_balance():
    assert one("placement = { rebalance = false }").placing == Placing(rebalance=False)
    assert one("placement = { rebalance = true }").placing == Placing()


def test_one_pinned_node_may_be_a_text_and_spread_over_nodes_is_the_default():
    assert one('placement = { pin = "n1", spread = "node" }').placing == Placing(pin=("n1",))


def test_times_of_a_slice_are_seconds_and_the_drain_is_one_of_them():
    wish = one("timeouts = { loading = 300, activating = 0.5, drain = 20 }")
    assert (wish.timeouts_s, wish.drain_s) == ({"loading": 300.0, "activating": 0.5}, 20.0)


def test_the_deployment_and_the_rules_of_routes_are_read():
    blueprint = parse_blueprint(
        'slices = []\n[deployment]\nmode = "atomic"\nstrategy = "blue-green"\ntimeout = 60\n'
        '[security]\n"POST /orders" = "role:clerk"\n"* /admin/*" = "deny"\n'
    )
    assert (blueprint.mode, blueprint.strategy, blueprint.timeout_s) == (Mode.ATOMIC, Strategy.BLUE_GREEN, 60.0)
    assert blueprint.security == {"POST /orders": "role:clerk", "* /admin/*": "deny"}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("instances = { min = 3, max = 2 }", "instances.max: 2 is below min = 3"),
        ("instances = { min = -1 }", "instances.min: -1 is no whole number from 0 to 1000"),
        ("instances = { maxx = 1 }", "instances.maxx: unknown key; did you mean max?"),
        ("instances = { max = 0 }", "instances.max: 0 is no whole number from 1 to 1000"),
        ("singleton = true\ninstances = 2", "instances: a singleton has at most one, not 2"),
        ("singleton = 1", "singleton: 1 is neither true nor false"),
        ('min_available = "101%"', "min_available: '101%' is no share; write a whole number, or \"60%\""),
        ('min_available = "some"', "min_available: 'some' is no share; write a whole number, or \"60%\""),
        (
            "instances = 2\nmin_available = 3",
            "min_available: 3 is more than the 2 instances that there may be",
        ),
        ("instances = { idle = 0 }", "instances.idle: 0 is no number of seconds above 0, to 86400"),
        ("placement = 1", 'placement: 1 is no table; write placement = { labels = { disk = "ssd" } }'),
        ('placement = { on = "worker" }', "placement.on: 'worker' is unknown; did you mean workers?"),
        ("placement = { label = {} }", "placement.label: unknown key; did you mean labels?"),
        ("placement = { labels = { disk = 1 } }", "placement.labels.disk: 1 is no text"),
        ('placement = { rebalance = "no" }', "placement.rebalance: 'no' is neither true nor false"),
        ('placement = { spread = "a b" }', "placement.spread: 'a b' is no name; use letters, digits and . _ -"),
        ("placement = { pin = [1] }", "placement.pin: 1 is no name of a node"),
        (
            "max_per_node = 1\nplacement = { max_per_node = 2 }",
            "placement.max_per_node: 2 here and 1 beside it; keep one",
        ),
        ("timeouts = { loading = 0 }", "timeouts.loading: 0 is no number of seconds above 0, to 86400"),
        ("timeouts = { drain = inf }", "timeouts.drain: inf is no number of seconds above 0, to 86400"),
        ("timeouts = { load = 3 }", "timeouts.load: unknown key; did you mean loading?"),
    ],
)
def test_each_problem_of_a_slice_stands_with_its_key(fields, problem):
    assert slice_problems(fields) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[deployment]\nmode = "atomc"', "deployment.mode: 'atomc' is unknown; did you mean atomic?"),
        (
            '[deployment]\nstrategy = "ab"',
            "deployment.strategy: 'ab' is unknown; write one of rolling, immediate, canary, blue_green",
        ),
        ("[deployment]\ntimeout = true", "deployment.timeout: true is no number of seconds above 0, to 86400"),
        (
            '[security]\n"/orders" = "deny"',
            'security: \'/orders\' is no route; write "POST /orders", or "* /orders/*" for more',
        ),
        (
            '[security]\n"GET /a" = "admin"',
            "security: 'admin' is no rule; write public, authenticated, deny or role:NAME",
        ),
    ],
)
def test_each_problem_of_the_whole_stands_with_its_key(text, problem):
    assert problems(f"slices = []\n{text}") == [problem]
