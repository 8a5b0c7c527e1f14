"""Blueprints as operators write them: every mistake named at once, with where it stands."""

import contextlib
import re
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.blueprint_toml import parse_blueprint, parse_target
from aether.model.limits import BLUEPRINT_BYTES_MAX, BLUEPRINT_SLICES_MAX, INSTANCES_MAX
from aether.model.version import Version

WHOLE = """
id = "my-app:1.2.0"

[[slices]]
artifact = "shop.orders:place-order:^1.2"
instances = 3
max_per_node = 1
config = { "shop.currency" = "EUR", limit = 10, rate = 0.5, strict = true, since = 2026-01-02 }

[[slices]]
artifact = "shop:pricing:1.0.0"

[bind]
Pricing = "shop:pricing"
"""


def problems(text, **options):
    with pytest.raises(BadInput) as caught:
        parse_blueprint(text, **options)
    return list(caught.value.problems)


def test_a_whole_blueprint_is_read():
    """Every key, with every kind of value."""
    blueprint = parse_blueprint(WHOLE)

    assert (blueprint.id, blueprint.version) == ("my-app", Version(1, 2, 0))
    order, pricing = blueprint.slices
    assert order.artifact == ArtifactBase.parse("shop.orders:place-order")
    assert Version(1, 9, 0) in order.versions
    assert Version(2, 0, 0) not in order.versions
    assert (order.instances, order.max_per_node) == (3, 1)
    assert (order.host, order.memory_mb) == (None, None)
    assert order.config == {
        "shop.currency": "EUR", "limit": "10", "rate": "0.5", "strict": "true", "since": "2026-01-02",
    }  # fmt: skip
    assert (pricing.instances, pricing.max_per_node, pricing.config) == (None, None, {})
    assert blueprint.bind == {"Pricing": "shop:pricing"}


def test_the_example_of_the_reference_page_is_valid():
    """The first thing that a reader copies must work."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "blueprint.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)

    blueprint = parse_blueprint(example)

    assert [wish.artifact.name for wish in blueprint.slices] == ["place-order", "pricing"]


def test_the_original_form_with_named_tables_is_read():
    """Blueprints written for the original keep working."""
    text = 'id = "my-app:1.0.0"\n[slices.orders]\nartifact = "a.b:c:1.0.0"\ninstances = 2\n'

    (wish,) = parse_blueprint(text).slices

    assert (str(wish), wish.instances) == ("a.b:c:1.0.0", 2)


def test_without_an_id_the_default_is_taken():
    """The original's own tests send blueprints without one."""
    text = '[[slices]]\nartifact = "a:b:1.0.0"\n'

    assert parse_blueprint(text).id == "app"
    assert parse_blueprint(text, "orders").id == "orders"


def test_zero_instances_are_allowed():
    """Wanted, and resting."""
    assert parse_blueprint('slices = [{artifact="a:b:1.0.0", instances=0}]').slices[0].instances == 0


def test_nested_configuration_is_flat():
    """`aether.config` fields have dotted names."""
    config = '[slices.config.shop]\ncurrency = "EUR"\n[slices.config.shop.tax]\nrate = 7\n'
    text = f'[[slices]]\nartifact = "a:b:1.0.0"\n{config}'

    assert parse_blueprint(text).slices[0].config == {"shop.currency": "EUR", "shop.tax.rate": "7"}


def test_an_empty_list_is_a_blueprint_that_wants_nothing():
    """Said explicitly, it is no mistake."""
    assert parse_blueprint("slices = []").slices == ()


def test_all_problems_are_reported_at_once_with_their_paths():
    """An operator fixes a file in one go, not in ten."""
    found = problems(
        """
        id = "My App"
        slcies = 1
        [[slices]]
        artifact = "shop:pricing"
        instances = -1
        max_per_node = 0
        [[slices]]
        instnaces = 2
        config = 3
        [[slices]]
        artifact = "a:b:1.0.0"
        instances = "2"
        config = { list = [1] }
        [bind]
        Pricing = 7
        Stock = "nonsense"
        """
    )

    assert [problem.partition(": ")[0] for problem in found] == [
        "slcies",
        "id",
        "slices[0].artifact",
        "slices[0].instances",
        "slices[0].max_per_node",
        "slices[1].instnaces",
        "slices[1].artifact",
        "slices[1].config",
        "slices[2].instances",
        "slices[2].config.list",
        "bind.Pricing",
        "bind.Stock",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("instances = 1\nslices = []", "instances: unknown key; known keys: id, slices, bind, deployment, security"),
        ("slcies = 1\nslices = []", "slcies: unknown key; did you mean slices?"),
        ("", 'slices: there are none; write [[slices]] and below it artifact = "group:artifact:1.0.0"'),
        ("slices = 7", "slices: 7 is no table; write [[slices]] above each slice"),
        ("slices = [7]", "slices[0]: 7 is no table; write [[slices]] above each slice"),
        ("[slices]\nx = 1", "slices.x: 1 is no table; write [[slices]] above each slice"),
        ("[[slices]]", 'slices[0].artifact: is missing; write artifact = "group:artifact:1.0.0"'),
        (
            'slices = [{artifact="a:b:1.0.0"}, {artifact="a:b:2.0.0"}]',
            "slices[1].artifact: a:b stands in slices[0] already; name each artifact once",
        ),
        (
            'slices = [{artifact="a:b:1.0.0", instances=-1}]',
            f"slices[0].instances: -1 is no whole number from 0 to {INSTANCES_MAX}",
        ),
        (
            f'slices = [{{artifact="a:b:1.0.0", instances={INSTANCES_MAX + 1}}}]',
            f"slices[0].instances: {INSTANCES_MAX + 1} is no whole number from 0 to {INSTANCES_MAX}",
        ),
        (
            'slices = [{artifact="a:b:1.0.0", instances=true}]',
            f"slices[0].instances: true is no whole number from 0 to {INSTANCES_MAX}",
        ),
        (
            'slices = [{artifact="a:b:1.0.0", instances=2.0}]',
            f"slices[0].instances: 2.0 is no whole number from 0 to {INSTANCES_MAX}",
        ),
        (
            'slices = [{artifact="a:b:1.0.0", config={a={b=1}, "a.b"=2}}]',
            "slices[0].config.a.b: stands there twice, once quoted and once as a table",
        ),
        ('id = "adhoc"\nslices = []', "id: 'adhoc' belongs to single deployments; choose another name"),
        (
            'id = "app:1"\nslices = []',
            "id: '1' is no version: write major.minor.patch, such as 1.2.0 or 1.2.0-rc.1",
        ),
        ("bind = 1\nslices = []", 'bind: 1 is no table; write [bind] and lines such as Pricing = "shop:pricing"'),
    ],
)
def test_each_problem_names_the_culprit_and_the_next_step(text, problem):
    """An operator mends the file without reading the manual."""
    assert problems(text) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a b", "line 1, column 3: Expected '=' after a key in a key/value pair"),
        ('\n\nid = "x', "line 3, column 8: Unterminated string"),
        ("id = 1\nid = 2", "line 2, column 7: Cannot overwrite a value"),
        ("a = " + "9" * 5_000, "a number in it has too many digits"),
    ],
)
def test_a_syntax_error_has_its_line_and_column(text, problem):
    """Also at the very end of the file."""
    assert problems(text) == [problem]


def test_hostile_texts_are_refused_without_harm():
    """A blueprint comes over HTTP: size, depth and numbers are bounded."""
    with pytest.raises(BadInput, match=f"at most {BLUEPRINT_BYTES_MAX}"):
        parse_blueprint("#" * (BLUEPRINT_BYTES_MAX + 1))
    with pytest.raises(BadInput, match="nested too deeply"):
        parse_blueprint("a = " + "[" * 100_000)
    with pytest.raises(BadInput, match="a number of 8000 bits"):
        parse_blueprint(f'slices = [{{artifact="a:b:1.0.0", instances=0x{"F" * 2_000}}}]')
    with pytest.raises(BadInput, match="a number of 8000 bits"):
        parse_blueprint(f'slices = [{{artifact="a:b:1.0.0", config={{x=0x{"F" * 2_000}}}}}]')


def test_too_many_slices_are_refused_as_one_problem():
    """One blueprint is one batch of the store."""
    text = "".join(f'[[slices]]\nartifact = "a:b{n}:1.0.0"\n' for n in range(BLUEPRINT_SLICES_MAX + 1))

    assert problems(text) == [f"slices: 251 slices; one blueprint holds at most {BLUEPRINT_SLICES_MAX}"]


def test_a_target_is_an_artifact_with_a_version_or_range():
    """`deploy` takes the same spelling as a blueprint."""
    base, versions = parse_target("shop:pricing:[1.0,2.0)")

    assert str(base) == "shop:pricing"
    assert Version(1, 9, 9) in versions
    with pytest.raises(BadInput, match="'shop:pricing' has no version"):
        parse_target("shop:pricing")


TEXT = st.text(string.ascii_letters + string.digits + "[]{}=\"'.,:#\n -_", max_size=200)


@settings(max_examples=200)
@given(TEXT | st.text(max_size=100))
def test_any_text_is_a_blueprint_or_a_refusal(text):
    """No text raises anything else: a traceback would be ours, the mistake the operator's."""
    with contextlib.suppress(BadInput):
        assert parse_blueprint(text).id


NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=8)


@given(
    st.lists(
        st.tuples(NAMES, st.integers(0, INSTANCES_MAX), st.none() | st.integers(1, INSTANCES_MAX)),
        unique_by=lambda wish: wish[0],
        max_size=5,
    )
)
def test_what_is_written_is_read(wishes):
    """Both spellings say the same."""
    lines = [
        f'artifact = "g:{name}:1.0.0"\ninstances = {count}\n' + (f"max_per_node = {limit}\n" if limit else "")
        for name, count, limit in wishes
    ]
    array = "".join(f"[[slices]]\n{line}" for line in lines) or "slices = []"
    tables = "".join(f"[slices.x{number}]\n{line}" for number, line in enumerate(lines)) or "slices = []"

    read = parse_blueprint(array).slices

    assert [(w.artifact.name, w.instances, w.max_per_node) for w in read] == wishes
    assert parse_blueprint(tables).slices == read


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * 20_000) + " = 1",
        "[" + " . ".join(["a"] * 20_000) + "]",
        ".".join(['"a"'] * 20_000) + " = 1",
        ".".join(["'a'"] * 20_000) + " = 1",
        "a = {" + ".".join(["a"] * 20_000) + " = 1}",
    ],
    ids=lambda text: text[:12],
)
def test_a_key_of_very_many_names_is_refused_before_it_is_parsed(text):
    """tomllib takes the square of their number: 40 KB stood a node's loop still for five seconds."""
    with pytest.raises(BadInput, match="nested too deeply: line 1: more than 128 names in a key"):
        parse_blueprint(text)


@pytest.mark.parametrize("depth", [33, 200, 900])
def test_configuration_nested_beyond_reason_is_refused_with_its_key(depth):
    """By inline tables, which no key shows: no RecursionError, and no key of a thousand names."""
    text = '[[slices]]\nartifact = "shop:pricing:1.0.0"\nconfig = ' + "{a = " * depth + "1" + "}" * depth
    with pytest.raises(BadInput, match=r"slices\[0\].config.a.a|nested too deeply"):
        parse_blueprint(text)


def test_a_text_with_many_dots_is_no_deep_key():
    """Addresses, sentences and versions stand in configurations."""
    text = ", ".join(f"10.0.0.{n}" for n in range(100)) + " " + "a.b.c. " * 30
    blueprint = parse_blueprint(f'[[slices]]\nartifact = "shop:pricing:1.0.0"\nconfig = {{ peers = "{text}" }}')
    assert blueprint.slices[0].config["peers"] == text


def test_half_a_character_is_refused_where_it_enters():
    """JSON can carry a lone surrogate into a blueprint; the store could not keep it."""
    with pytest.raises(BadInput, match="lone surrogate"):
        parse_blueprint('id = "shop"\n# \ud800\nslices = []')


def test_a_blueprint_of_wrong_keys_is_answered_briefly():
    """Twenty thousand mistakes are not answered with twenty thousand lines."""
    assert len(problems("\n".join(f"a{n} = 1" for n in range(20_000)))) == 64


def test_a_slice_may_be_given_a_process_and_memory_of_its_own():
    blueprint = parse_blueprint('[[slices]]\nartifact = "shop:sums:1.0.0"\nhost = "process"\nmemory_mb = 512\n')

    assert (blueprint.slices[0].host, blueprint.slices[0].memory_mb) == ("process", 512)


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("host = 7", "host"),
        ('host = "Process"', "host"),
        ('host = "Process"\nmemory_mb = 512', "host"),
        ("memory_mb = 1", "memory_mb"),
        ("memory_mb = true", "memory_mb"),
        ('host = "node"\nmemory_mb = 512', "memory_mb"),
    ],
)
def test_a_host_or_a_memory_that_cannot_be_is_refused_with_its_key(lines, key):
    """A misspelt host would leave a slice that computes in the loop of its node."""
    with pytest.raises(BadInput, match=rf"slices\[0\]\.{key}:"):
        parse_blueprint(f'[[slices]]\nartifact = "shop:sums:1.0.0"\n{lines}\n')
