"""What is remembered of a change: who, what, and no secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.model.access import Role
from aether.model.limits import AUDIT_DETAIL_CHARS_MAX, DENIALS_KEPT_MAX, DENIED_PATH_CHARS_MAX
from aether.security.audit import audit_row, shown_detail
from aether.security.denials import Denial, Denials

CANARY = "canary-5b2f"


def test_what_was_asked_for_is_told_field_by_field():
    assert shown_detail({"instances": 3, "artifact": "a:b"}) == "artifact=a:b, instances=3"


@pytest.mark.parametrize(
    "body",
    [
        {"token": CANARY},
        {"adminPassword": CANARY},
        {"X-Api-Key_apikey": CANARY},
        {"clientSecret": [CANARY]},
        {"toml": f"[config]\npassword = '{CANARY}'"},
        {"value": CANARY},
        {"value": {"a": CANARY}},
        {"value": [CANARY]},
        {"base64": CANARY},
        {"note": CANARY + "." * 100},
        {"arguments": {"card": CANARY}},
        {"anything": {"deep": {"er": CANARY}}},
        {"many": [{"x": CANARY}]},
    ],
    ids=lambda body: next(iter(body)),
)
def test_contents_and_secrets_are_told_by_their_size(body):
    """Administrators read the audit; what people store is not theirs."""
    assert CANARY not in shown_detail(body)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json))
def test_any_body_has_a_detail_of_bounded_length(body):
    assert len(shown_detail(body)) <= AUDIT_DETAIL_CHARS_MAX


def test_ids_sort_by_time():
    def made(at: float) -> str:
        return audit_row(
            at=at, mark="m", actor="a", role=Role.ADMIN, verb="POST", path="/x", request_id="r", node="n", body={}
        ).id

    times = [0.0, 1.0, 999.0, 1e6, 1e9, 1_700_000_000.5, 1_700_000_000.6]
    assert [made(at) for at in times] == sorted(made(at) for at in times)


def test_a_flood_of_refusals_is_remembered_in_part_and_counted_whole():
    denials = Denials()
    for number in range(10_000):
        denials.add(
            Denial(
                at=float(number),
                caller="x" * 5_000,
                client="c",
                verb="GET",
                path="/" + "p" * 5_000,
                status=401,
                request_id="r",
            )
        )

    assert denials.uncounted == 10_000
    assert len(denials.kept) == DENIALS_KEPT_MAX
    assert denials.kept[-1].at == 9_999.0
    assert max(len(d.path) + len(d.caller) for d in denials.kept) <= 2 * DENIED_PATH_CHARS_MAX
    denials.counted(9_000)
    assert denials.uncounted == 1_000
