"""Certificates that are accepted no more: which, and one more of them.

Knows: the answers.
Never: certificates, how a revocation takes effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import FRESH, NO_BODY, Endpoint
from aether.management.facts import Answer
from aether.management.schema import Field, Kind, Schema
from aether.model.access import Role
from aether.model.certificates import RevokedRow


async def revoke(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    serial = cast("str", body["serial"])
    revision = await actors.certificates.revoke(
        serial,
        identity=cast("str", body.get("identity", "")),
        reason=cast("str", body.get("reason", "")),
        expires_at=cast("float | None", body.get("expiresAt")),
        by=by,
        key=cast("str", body.get("key", "")),
    )
    return Changed({"status": "revoked", "serial": serial, "revision": revision}, revision, frozenset())


async def revoked(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    rows = actors.certificates.rows()
    return {"revoked": [_row(row) for row in rows], "revision": actors.certificates.revision}


def _row(row: RevokedRow) -> Answer:
    return {
        "serial": row.serial,
        "identity": row.identity,
        "at": row.at,
        "by": row.by,
        "reason": row.reason,
        "expiresAt": row.expires_at,
        "key": row.key,
    }


CERTIFICATE_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        path="/certificates/revoked",
        about="The certificates that the cluster accepts no more.",
        role=Role.VIEWER,
        query=Schema(FRESH),
        ask=revoked,
    ),
    Endpoint(
        path="/certificates/revoke",
        about="Accept a certificate no more; connections that show it end.",
        role=Role.ADMIN,
        query=NO_BODY,
        body=Schema(
            (
                Field("serial", Kind.TEXT, required=True, high=64, about="hexadecimal, as aether ca show says it"),
                Field("identity", Kind.TEXT, high=300, about="its URI, for people who read the list"),
                Field("reason", Kind.TEXT, high=300, about="for them too"),
                Field(
                    "key",
                    Kind.TEXT,
                    high=100,
                    about="SHA-256 of its public key: all certificates of it",
                ),
                Field("expiresAt", Kind.SECONDS, about="when it ends by itself: without a key, the row goes then"),
            )
        ),
        change=revoke,
        needs_name=True,
    ),
)
