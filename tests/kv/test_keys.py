"""Keys have one spelling, and their values one type."""

import attrs
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.kv import keys
from aether.kv.keys import ClusterRow, MapRow
from aether.model.access import ApiTokenRow, AuditRow, DenialsRow, Role
from aether.model.alerts import AlertRow, Severity, ThresholdRow
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.decision import DecisionRow, Reason
from aether.model.lifecycle import SliceState
from aether.model.limits import KEY_BYTES_MAX
from aether.model.route import Route
from aether.model.rows import (
    BlueprintRow,
    DesiredRow,
    HandoverRow,
    InstanceRow,
    LeadershipRow,
    MemberRow,
    RemovedRow,
    RoleRow,
    RouteRow,
    TrafficRow,
    UnsatisfiedRow,
)
from aether.model.setting import SettingRow

BASE = ArtifactBase.parse("shop.orders:place-order")
ARTIFACT = Artifact.parse("shop.orders:place-order:1.2.0-rc.1+build.5")

# The spelling is a promise to every stored snapshot: a changed line is a changed format.
GOLDEN = [
    (keys.cluster, "cluster"),
    (keys.leadership, "leadership"),
    (keys.member("n-1.a"), "members/n-1.a"),
    (keys.removed("n-1.a"), "removed/n-1.a"),
    (keys.role("n-1.a"), "roles/n-1.a"),
    (keys.handover, "handover"),
    (keys.desired(BASE), "desired/shop.orders:place-order"),
    (keys.instance(BASE, "i7"), "instances/shop.orders:place-order/i7"),
    (keys.routes(BASE), "routes/shop.orders:place-order"),
    (keys.traffic(BASE), "traffic/shop.orders:place-order"),
    (keys.blueprint("app", 12), "blueprints/app/12"),
    (keys.blueprint_current("my app/é"), "blueprint-current/my%20app%2F%C3%A9"),
    (keys.unsatisfied(BASE), "unsatisfied/shop.orders:place-order"),
    (keys.setting("controller"), "settings/controller"),
    (keys.decision(BASE, 7), "decisions/shop.orders:place-order/7"),
    (keys.threshold("cpu.usage"), "thresholds/cpu.usage"),
    (keys.alert("cpu.usage", "n-1"), "alerts/cpu.usage/n-1"),
    (keys.token("k1"), "tokens/k1"),
    (keys.audit("0001-r"), "audit/0001-r"),
    (keys.denials(29_000_000), "denials/29000000"),
    (keys.map_definition("orders"), "maps/orders"),
    (keys.map_entry("orders", b""), "maps/orders/"),
    (keys.map_entry("a/b", b"\x00/%\xff~x"), "maps/a%2Fb/%00%2F%25%FF~x"),
]

ROWS = [
    (keys.cluster, ClusterRow(uuid="u", name="shop")),
    (keys.leadership, LeadershipRow(term=3, node="n1")),
    (
        keys.member("n1"),
        MemberRow(node="n1", incarnation="x", available=(ARTIFACT,), labels={"zone": "a"}, draining=True, boots=3),
    ),
    (
        keys.desired(BASE),
        DesiredRow(artifact=ARTIFACT, instances=3, blueprint="app", max_per_node=1, config={"a": "b"}),
    ),
    (keys.desired(BASE), DesiredRow(artifact=ARTIFACT, instances=3, blueprint="app")),
    (
        keys.instance(BASE, "i7"),
        InstanceRow(
            instance="i7", artifact=ARTIFACT, node="n1", incarnation="x", state=SliceState.FAILED, reason="é", since=1.5
        ),
    ),
    (
        keys.routes(BASE),
        RouteRow(artifact=BASE, routes=(Route("GET", "/a/{b}", "get", idempotent=True),), idempotent=("get",)),
    ),
    (keys.traffic(BASE), TrafficRow(artifact=BASE, weights={"1.0.0": 95, "1.1.0": 5}, sticky="customer")),
    (keys.blueprint("app", 1), BlueprintRow(id="app", number=1, text="[blueprint]\n")),
    (keys.blueprint_current("app"), 7),
    (keys.unsatisfied(BASE), UnsatisfiedRow(artifact=BASE, missing=1, reason="no node")),
    (keys.setting("controller"), SettingRow(value='{"a":1}', by="ann", at=1.5)),
    (
        keys.decision(BASE, 7),
        DecisionRow(
            artifact=BASE,
            number=7,
            before=2,
            after=4,
            controller="decision_tree",
            node="n1",
            at=1.5,
            confidence=0.9,
            reasons=(Reason(rule="cpu", text="é", signal="cpu", value=0.95, threshold=0.8, window_s=15.0, count=4),),
            inputs={"cpu": 0.95},
            shadow=True,
        ),
    ),
    (keys.threshold("cpu.usage"), ThresholdRow(metric="cpu.usage", warning=0.7, critical=0.9, by="ann", at=1.5)),
    (
        keys.alert("cpu.usage", "n1"),
        AlertRow(metric="cpu.usage", subject="n1", severity=Severity.CRITICAL, value=0.95, threshold=0.9, since=1.5),
    ),
    (keys.token("k1"), ApiTokenRow(id="k1", digest=b"\x00d", role=Role.OPERATOR, note="ci", expires_at=2.5)),
    (
        keys.audit("1-r"),
        AuditRow(id="1-r", at=1.5, actor="ann", role=Role.ADMIN, verb="POST", path="/scale", request_id="r", node="n1"),
    ),
    (keys.denials(7), DenialsRow(minute=7, count=3)),
    (keys.map_definition("m"), MapRow(entries_max=5, bytes_max=6)),
    (keys.map_entry("m", b"k"), b"\xc1 any bytes"),
    (keys.removed("n1"), RemovedRow(node="n1", by="ann", at=1.5)),
    (keys.role("n1"), RoleRow(node="n1", votes=False)),
    (keys.handover, HandoverRow(term=3)),
    (keys.handover, HandoverRow(term=3, to="n1")),
]


@pytest.mark.parametrize(("key", "text"), GOLDEN, ids=[text for _, text in GOLDEN])
def test_a_key_is_spelt_as_ever(key, text):
    """Stored rows are found by these texts after every upgrade."""
    assert key.text == str(key) == text
    assert keys.parse(text) == key
    assert keys.parse(text).parts == key.parts


@pytest.mark.parametrize(("key", "row"), ROWS, ids=[type(row).__name__ for _, row in ROWS])
def test_a_row_survives_its_encoding(key, row):
    """What was written is what is read, types included."""
    decoded = key.decode(key.encode(row))

    assert decoded == row
    assert type(decoded) is type(row)


def test_a_row_is_a_map_of_plain_data():
    """Any msgpack reader can look into a snapshot."""
    plain = msgpack.unpackb(keys.desired(BASE).encode(ROWS[3][1]))

    assert plain["artifact"] == str(ARTIFACT)
    assert plain["config"] == {"a": "b"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"instances": True}, "True is no int @ $.instances"),
        ({"instances": 2.5}, "2.5 is no int @ $.instances"),
        ({"artifact": "x"}, "no artifact"),
        ({"blueprint": b"app"}, "b'app' is no str @ $.blueprint"),
        ({"config": {"a": 1}}, "is no map of text to text @ $.config"),
        ({"config": []}, "is no map of text to text @ $.config"),
        ({"max_per_node": "1"}, "is no int @ $.max_per_node"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_row_of_wrong_types_is_refused_with_its_path(change, problem):
    """A silent conversion would hide a writer's bug in every node."""
    key = keys.desired(BASE)
    plain = msgpack.unpackb(key.encode(ROWS[4][1])) | change

    with pytest.raises(BadInput) as caught:
        key.decode(msgpack.packb(plain))
    assert key.text in str(caught.value)
    assert problem in str(caught.value)


def test_a_row_with_an_unknown_state_or_a_text_for_a_list_is_refused():
    """Enums and tuples are as strict as numbers."""
    instance = keys.instance(BASE, "i7")
    plain = msgpack.unpackb(instance.encode(ROWS[5][1]))
    with pytest.raises(BadInput, match="state"):
        instance.decode(msgpack.packb(plain | {"state": "SLEEPING"}))
    member = keys.member("n1")
    plain = msgpack.unpackb(member.encode(ROWS[2][1]))
    with pytest.raises(BadInput, match=r"no list @ \$.available"):
        member.decode(msgpack.packb(plain | {"available": "abc"}))


@pytest.mark.parametrize("raw", [b"", b"\xc1", msgpack.packb([1]), msgpack.packb({}), msgpack.packb("x"), b"\x80\x80"])
def test_bytes_that_are_no_row_are_refused(raw):
    """Whatever stands in a row, reading it raises one kind of error."""
    with pytest.raises(BadInput, match="leadership: malformed LeadershipRow"):
        keys.leadership.decode(raw)


@given(st.text(min_size=1, max_size=20), st.binary(max_size=60))
def test_any_map_key_has_one_spelling_and_comes_back(name, key):
    """User keys are any bytes; `/` in them must not look like structure."""
    made = keys.map_entry(name, key)
    parsed = keys.parse(made.text)

    assert parsed.parts == (name, key)
    assert parsed.text == made.text
    assert made.text.isascii()
    assert made.text.startswith(keys.map_entries(name))


NAMES_AND_KEYS = st.tuples(st.text(min_size=1, max_size=8), st.binary(max_size=8))  # long ones are refused


@given(NAMES_AND_KEYS, NAMES_AND_KEYS)
def test_different_map_keys_never_share_a_text(one, other):
    """Nor does an entry of one map stand under the prefix of another."""
    first, second = keys.map_entry(*one), keys.map_entry(*other)

    assert (first == second) == (one == other)
    assert first.text.startswith(keys.map_entries(other[0])) == (one[0] == other[0])


@given(st.text(max_size=40))
def test_text_is_a_key_or_refused(text):
    """And whatever parses is spelt exactly so."""
    try:
        key = keys.parse(text)
    except BadInput:
        return
    assert key.text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "members",
        "members/",
        "members/a/b",
        "members/-a",
        "desired/no-colon",
        "instances/shop:a",
        "blueprints/app/0",
        "blueprints/app/01",
        "blueprints/app/x",
        "maps/a%2fb",  # lower case: a second spelling of a%2Fb
        "maps/%61",
        "maps/a b",
        "maps/",
        "maps/%FF",
        "maps/x/%zz",
        "maps/x/" + "k" * KEY_BYTES_MAX,
    ],
)
def test_a_text_that_no_key_has_is_refused(text):
    """One key, one spelling: a second spelling would be a second row."""
    with pytest.raises(BadInput):
        keys.parse(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keys.member("no/slash"),
        lambda: keys.instance(BASE, ""),
        lambda: keys.blueprint("app", 0),
        lambda: keys.map_definition(""),
        lambda: keys.map_entry("", b"k"),
        lambda: keys.map_entry("m", bytes(KEY_BYTES_MAX // 3)),
    ],
)
def test_a_key_that_cannot_be_spelt_is_refused_where_it_is_made(make):
    """The message names the offending part, at its author."""
    with pytest.raises(BadInput):
        make()


def test_prefixes_hold_exactly_the_keys_of_their_kind():
    """A typed scan decodes every row under its prefix by one type."""
    heads = {text.split("/")[0] for _, text in GOLDEN if "/" in text}
    prefixes = [keys.MEMBERS, keys.REMOVED, keys.ROLES, keys.DESIRED, keys.INSTANCES, keys.ROUTES, keys.TRAFFIC]
    prefixes += [keys.BLUEPRINTS, keys.BLUEPRINTS_CURRENT, keys.SETTINGS, keys.THRESHOLDS, keys.ALERTS]
    prefixes += [keys.TOKENS, keys.AUDIT, keys.DENIALS, keys.DECISIONS]

    assert {prefix.rstrip("/") for prefix in [*prefixes, keys.UNSATISFIED, keys.MAPS]} == heads
    assert keys.instance(BASE, "i7").text.startswith(keys.instances_of(BASE))
    assert keys.instances_of(BASE).startswith(keys.INSTANCES)
    assert keys.blueprint("app", 1).text.startswith(keys.blueprints_of("app"))
    assert not keys.blueprint("app2", 1).text.startswith(keys.blueprints_of("app"))


def test_every_row_of_the_model_has_its_own_key():
    """A new row type without a key would be a row nobody can store."""
    for _, row in ROWS:
        if attrs.has(type(row)):
            assert type(row).__doc__.find("Key `") > 0
