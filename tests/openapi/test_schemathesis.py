"""Requests made from the OpenAPI document, good and bad ones, against a real server: each answer is as it says."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from openapi_spec_validator import validate

EXAMPLES = 25
ANSWER_S = 30.0
pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def url():
    """Of a node that runs shop.py."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("shop.py"))], text=True, stdout=subprocess.PIPE
    )
    try:
        yield re.search(r"http (http://\S+)", process.stdout.readline())[1]
    finally:
        process.terminate()
        process.wait(ANSWER_S)
        process.stdout.close()


@pytest.fixture(scope="module")
def document(url):
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=ANSWER_S) as answer:
        return json.load(answer)


def test_the_document_is_valid(document):
    validate(document)


def without_integral_floats(plain):
    """JSON Schema holds 2.0 for an integer and cannot say otherwise; the codec does not."""
    if isinstance(plain, dict):
        return {name: without_integral_floats(value) for name, value in plain.items()}
    if isinstance(plain, list):
        return [without_integral_floats(value) for value in plain]
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


OPERATIONS = [
    "Shop.place", "Shop.find", "Shop.drop", "Shop.shelve", "Shop.total", "Shop.count", "Shop.report", "Shop.upload"
]  # fmt: skip


def test_every_operation_is_exercised(document):
    found = [op["operationId"] for item in document["paths"].values() for op in item.values()]

    assert sorted(found) == sorted(OPERATIONS)


FITTING, UNFIT = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
ANYTHING_FITS = {"Shop.report", "Shop.upload"}


@pytest.mark.parametrize(
    ("operation_id", "mode"),
    [(name, mode) for name in OPERATIONS for mode in (FITTING, UNFIT) if mode is FITTING or name not in ANYTHING_FITS],
    ids=lambda part: getattr(part, "value", part),
)
def test_answers_are_as_the_document_says(document, url, operation_id, mode):
    """No server error, only documented statuses and media types, bodies that fit their schemas; what fits is taken."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    operation = schema.find_operation_by_id(operation_id)

    @hypothesis.settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def check(case):
        if mode is FITTING:
            case.body = without_integral_floats(case.body)
        case.call_and_validate(timeout=ANSWER_S)

    check()
