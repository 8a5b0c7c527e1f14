"""What strangers send to the parsers of certificates, tokens and settings ends in BadInput, and in nothing else."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.node.config_sources import Sources, load
from aether.security.authority import Authority, certificate_request, create_authority, new_key
from aether.security.certificates import (
    read_bundle,
    read_certificate,
    read_described,
    requested_key,
    revoked_serials,
)
from aether.security.enrolment import LINE_BYTES_MAX, Newcomer, read_answer, read_enrolment, read_offer
from aether.security.identity import CertificateRole, CertifiedIdentity, judge_peer, read_identity, serial_text
from aether.security.join_token import JoinToken, check_token, read_token, spell_token
from aether.security.messages import MESSAGES

NOW = time.time()
KEY, CERTIFICATE = create_authority("shop", NOW, 86_400)
AUTHORITY = Authority(KEY, CERTIFICATE)
TOKEN = spell_token(
    JoinToken("a1", CertifiedIdentity("shop", CertificateRole.NODE, "n1"), AUTHORITY.trusted.pin, int(NOW) + 600),
    AUTHORITY,
)
REQUEST = certificate_request(new_key())

LINES = st.one_of(
    st.binary(max_size=300),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["authorities", "token", "request", "certificate", "refused", "id", "cluster", "role", "hosts"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ).map(lambda plain: json.dumps(plain).encode()),
)


def only_bad_input(read, *args):
    try:
        read(*args)
    except BadInput:
        return


def damaged(text: bytes):
    """`text` with a stretch of it replaced by something else."""
    return st.tuples(st.integers(0, len(text)), st.integers(0, 40), st.binary(max_size=40)).map(
        lambda cut: text[: cut[0]] + cut[2] + text[cut[0] + cut[1] :]
    )


@given(LINES)
def test_lines_of_an_enrolment(line):
    for read in (read_offer, read_enrolment, read_answer):
        only_bad_input(read, line)


@given(st.one_of(damaged(CERTIFICATE), st.binary(max_size=200)))
def test_certificates(pem):
    for read in (read_certificate, read_bundle, read_described):
        only_bad_input(read, pem)
    only_bad_input(revoked_serials, pem, CERTIFICATE)
    only_bad_input(Authority, KEY, pem)


@given(st.one_of(damaged(REQUEST), st.binary(max_size=200)))
def test_requests(pem):
    only_bad_input(requested_key, pem)


@given(st.one_of(damaged(KEY), st.binary(max_size=200)))
def test_private_keys(pem):
    only_bad_input(Authority, pem, CERTIFICATE)
    only_bad_input(certificate_request, pem)


@given(damaged(TOKEN.encode()))
def test_a_damaged_token_is_refused(text):
    """Whatever is changed, but for its padding: the signature covers every word."""
    changed = text.decode("latin-1")
    try:
        token = check_token(changed, AUTHORITY, NOW)
    except BadInput:
        return
    assert token == check_token(TOKEN, AUTHORITY, NOW)


@given(st.text(max_size=200))
def test_tokens(text):
    only_bad_input(read_token, text)
    only_bad_input(Newcomer, text, new_key())


@given(st.text(max_size=100), st.text(max_size=60))
def test_identities_and_serial_numbers(uri, serial):
    only_bad_input(read_identity, uri)
    only_bad_input(serial_text, serial)
    assert judge_peer({"subjectAltName": (("URI", uri),), "serialNumber": serial}, "shop", "n1", ())


@given(st.sampled_from(CertificateRole), st.from_regex(r"[a-z][a-z0-9.-]{0,20}[a-z0-9]", fullmatch=True))
def test_an_identity_is_read_as_it_was_spelt(role, name):
    identity = CertifiedIdentity("shop", role, name)

    assert read_identity(identity.uri) == identity


@given(st.lists(st.none() | st.integers() | st.binary(max_size=30) | st.text(max_size=30), max_size=4))
def test_messages_about_certificates(fields):
    for _, _, decode in MESSAGES.values():
        only_bad_input(decode, fields)


@given(
    st.one_of(
        st.text(max_size=200),
        st.tuples(
            st.sampled_from(["tls", "node", "ports", "cluster", "labels"]),
            st.sampled_from(["dir", "plain_http", "http_cert", "ca_key", "id", "http", "name", "peers", "zone"]),
            st.sampled_from(["1", "true", '"x"', "[1, 2]", "{a=1}", "-1", "1979-05-27", '""', "inf"]),
        ).map(lambda parts: f"[{parts[0]}]\n{parts[1]} = {parts[2]}\n"),
    )
)
def test_files_with_settings(text):
    only_bad_input(load, Sources(file="node.toml", toml=text))


def test_a_line_without_an_end_is_refused_by_its_length():
    with pytest.raises(BadInput, match="at most"):
        read_offer(b" " * (LINE_BYTES_MAX + 1))
