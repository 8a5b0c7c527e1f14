"""Who may ask for what, and the rows that remember who asked.

Knows: roles and their order; the rows of tokens and of the audit.
Never: how a token is checked (room security), where a role is asked for (room management).
Holds: each role may do all that the ones below it may; no row holds a secret, only the digest of one.
"""

from __future__ import annotations

import enum

import attrs


class Role(enum.IntEnum):
    """What a caller may do, in rising order.

    NOBODY    has not said who it is: probes alone
    VIEWER    reads
    PROPOSER  reads, and rehearses changes: with `dry_run` alone
    OPERATOR  changes what runs
    ADMIN     changes who may do what, who belongs to the cluster, and rows that the cluster keeps itself
    """

    NOBODY = 0
    VIEWER = 1
    PROPOSER = 2
    OPERATOR = 3
    ADMIN = 4

    @property
    def word(self) -> str:
        """As people write it."""
        return self.name.lower()


@attrs.frozen(kw_only=True)
class ApiTokenRow:
    """One token of the admin API, and of routes that ask for one. Key `tokens/{id}`.

    digest      of the token's text, which nobody keeps
    roles       of the application that its bearer has; `role` is of the admin API
    expires_at  seconds since the epoch; None = never
    """

    id: str
    digest: bytes = attrs.field(repr=False)
    role: Role
    roles: tuple[str, ...] = ()
    note: str = ""
    created_by: str = ""
    created_at: float = 0.0
    expires_at: float | None = None


@attrs.frozen(kw_only=True)
class AuditRow:
    """One change that somebody was allowed to make, written in the batch of the change. Key `audit/{id}`.

    id       sorts by time: milliseconds of the clock of `node`, then a random mark
    actor    name of the token or certificate; `anonymous` under --insecure
    path     of the request, without its query; detail  what was asked for, shortened, without secrets
    """

    id: str
    at: float
    actor: str
    role: Role
    verb: str
    path: str
    request_id: str
    node: str
    detail: str = ""


@attrs.frozen(kw_only=True)
class DenialsRow:
    """How many requests were refused in one minute. Key `denials/{minute since the epoch}`."""

    minute: int
    count: int
