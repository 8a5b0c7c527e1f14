"""When a row of a revoked certificate may go, and how keys are spelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.kv import keys
from aether.kv.codec import Codec
from aether.kv.commands import Batch, Put
from aether.model.certificates import RevokedRow
from aether.security.identity import pin_text
from aether.security.revocations import CLOCK_SKEW_S, Revocations, has_ended

TIMES = st.floats(min_value=0, max_value=4e9)


@given(TIMES, TIMES)
def test_a_row_goes_when_every_clock_says_that_its_certificate_has_ended(ends, now):
    row = RevokedRow(serial="ab", expires_at=ends)
    assert has_ended(row, now) == (now > ends + CLOCK_SKEW_S)
    assert not has_ended(RevokedRow(serial="ab"), now), "nobody knows when it ends"
    assert not has_ended(RevokedRow(serial="ab", expires_at=ends, key="0" * 64), now), "the key may be renewed"


@given(st.binary(min_size=32, max_size=32))
def test_a_key_has_one_spelling(digest):
    assert pin_text(digest.hex(":").upper()) == digest.hex() == pin_text(digest.hex())


@pytest.mark.parametrize("text", ["ab", "x" * 64, "0" * 63, "0" * 65])
def test_what_is_no_digest_is_refused(text):
    with pytest.raises(BadInput, match="is no digest of a key"):
        pin_text(text)


async def test_a_row_that_cannot_be_read_still_revokes_its_serial_number(aether_cluster):
    cluster = await aether_cluster(nodes=1)
    kv = cluster.nodes[0].kv
    plain = keys.revoked("ab")._replace(codec=Codec(lambda raw: raw, bytes))
    await kv.propose(Batch((), (Put(keys.revoked("cd"), RevokedRow(serial="cd")), Put(plain, b"of another release"))))
    assert {row.serial for row in Revocations(kv, lambda: 0.0).rows()} == {"ab", "cd"}
