"""What the cluster remembers of certificates: which ones count no more, which join tokens are spent.

Knows: the rows.
Never: keys, certificates, secrets.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class RevokedRow:
    """A certificate that is accepted no more. Key `revoked/{serial}`.

    serial      lower-case hexadecimal digits without leading zeros
    identity    its URI, "" when nobody said
    at          seconds since the epoch; by  who said so
    expires_at  when it would have ended by itself: then the row may go; None = not known
    key         SHA-256 of its public key, hexadecimal: every certificate of that key counts no more, whatever its
                serial, as renewals keep the key; "" when nobody said
    """

    serial: str
    identity: str = ""
    at: float = 0.0
    by: str = ""
    reason: str = ""
    expires_at: float | None = None
    key: str = ""


@attrs.frozen(kw_only=True)
class SpentTokenRow:
    """A join token that was used. Key `spent-tokens/{id}`.

    key         digest of the public key that it certified: the same one may ask again, as its answer may be lost
    expires_at  seconds since the epoch: then the token is refused without this row
    """

    id: str
    key: bytes
    expires_at: float
