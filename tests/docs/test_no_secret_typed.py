"""No page tells its reader to type a secret: what stands on a command line, others on the machine can read."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md"), *ROOT.glob("*.md")))
TYPED = re.compile(r"^\$ (.*)$", re.M)
SECRET = re.compile(
    r"(?<!join)(?<!\w)(--token|--api-key)[ =](?!FILE)\S"  # an option whose value is one
    r"|^aether( .*)? -k[ =](?!FILE)\S"  # the same in short; that of pytest is none
    r"|(Bearer|X-API-Key:) *[\"']?(\$\(|\$\{|aether_)"  # a header field given as an argument
    r"|[?&](token|api_key|key)="  # an address
    r"|aether_\w+_[0-9a-f]{16}"
)


def secrets_in(text):
    return [line for line in TYPED.findall(text) if SECRET.search(line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_types_a_secret(page):
    assert secrets_in(page.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "aether status --token abc",
        "aether -k abc status",
        "aether status -k abc",
        'curl -H "Authorization: Bearer $(cat token)" http://x/',
        "curl -H 'X-API-Key: aether_ci_00' http://x/",
        "curl http://x/status?token=abc",
        "export AETHER_TOKEN=aether_ci_0123456789abcdef0123456789abcdef",
    ],
)
def test_the_gate_sees_what_it_is_for(line):
    assert secrets_in(f"$ {line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "aether node --join-token n2.token",
        "export AETHER_TOKEN=$(cat ci.token)",
        'printf "Authorization: Bearer " | curl -H @- x',
        "aether kv get maps/token=x",
        "pytest tests/e2e -k token",
    ],
)
def test_the_gate_lets_files_pass(line):
    assert not secrets_in(f"$ {line}\n")
