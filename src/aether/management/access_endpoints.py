"""Tokens and the audit: who may do what, and who did.

Knows: the answers; which of them hold a secret.
Never: HTTP; how a token is checked.
Holds: the text of a token is in the answer to whoever made it, and in no other; digests are in none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from aether.errors import BadInput
from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import FRESH, NO_BODY, NUMBER_MAX, Endpoint
from aether.management.facts import Answer
from aether.management.schema import Field, Kind, Schema
from aether.model.access import ApiTokenRow, AuditRow, Role
from aether.model.ids import NAME_CHARS_MAX, Revision
from aether.model.limits import AUDIT_ROWS_MAX, TOKEN_LIFE_S_MAX
from aether.security.denials import Denial

LIMIT_DEFAULT: Final = 100
_ROLES: Final = {role.word: role for role in Role}


async def create(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    word = cast("str", body["role"]).lower()
    if word not in _ROLES:
        raise BadInput("the body does not fit", (f"role: {word[:80]!r}; one of {', '.join(_ROLES)}",))
    issued = await actors.tokens.create(
        _ROLES[word],
        name=cast("str", body.get("name", "")),
        life_s=cast("float | None", body.get("lifeSeconds")),
        roles=_texts(body.get("roles", [])),
        note=cast("str", body.get("note", "")),
        by=by,
    )
    answer = _token(issued.row) | {"status": "created", "token": issued.text, "revision": issued.revision}
    return Changed(answer, issued.revision, frozenset())


async def revoke(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    identity = cast("str", body["id"])
    revision = await actors.tokens.revoke(identity)
    return Changed({"status": "revoked", "id": identity, "revision": revision}, revision, frozenset())


async def tokens(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    rows = actors.tokens.rows()
    return {"tokens": [_token(row) for row in rows], "revision": actors.tokens.revision}


async def audit(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    since = cast("int | None", query.get("since"))
    page = actors.audit.page(None if since is None else Revision(since), cast("int", query.get("limit", LIMIT_DEFAULT)))
    counts = sorted(actors.audit.refused_by_minute().items())
    return {
        "changes": [_change(row, revision) for row, revision in page.changes],
        "next": page.next,
        "refused": [_denial(denial) for denial in actors.audit.refused_here()],
        "refusedByMinute": [{"minute": 60 * minute, "count": count} for minute, count in counts],
        "revision": page.revision,
    }


def _token(row: ApiTokenRow) -> Answer:
    return {
        "id": row.id,
        "role": row.role.word,
        "roles": list(row.roles),
        "note": row.note,
        "createdBy": row.created_by,
        "createdAt": row.created_at,
        "expiresAt": row.expires_at,
    }


def _change(row: AuditRow, revision: Revision) -> Answer:
    return {
        "revision": revision,
        "at": row.at,
        "actor": row.actor,
        "role": row.role.word,
        "verb": row.verb,
        "path": row.path,
        "detail": row.detail,
        "requestId": row.request_id,
        "node": row.node,
    }


def _denial(denial: Denial) -> Answer:
    return {
        "at": denial.at,
        "caller": denial.caller,
        "client": denial.client,
        "verb": denial.verb,
        "path": denial.path,
        "status": denial.status,
        "requestId": denial.request_id,
    }


def _texts(value: object) -> Sequence[str]:
    items = cast("list[object]", value) if isinstance(value, list) else None
    if items is None or not all(isinstance(item, str) for item in items):
        raise BadInput("the body does not fit", ('roles: give a list of texts, such as ["clerk"]',))
    return cast("list[str]", items)


ACCESS_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        path="/tokens",
        about="The tokens of the cluster, without what would let anybody use them.",
        role=Role.ADMIN,
        query=Schema(FRESH),
        ask=tokens,
    ),
    Endpoint(
        path="/tokens",
        about="Make a token; its text is in this answer and nowhere else.",
        role=Role.ADMIN,
        query=NO_BODY,
        body=Schema(
            (
                Field("role", Kind.TEXT, required=True, high=16, about="nobody, viewer, proposer, operator or admin"),
                Field("name", Kind.TEXT, also=("id",), high=NAME_CHARS_MAX, about="its id; one is drawn without it"),
                Field(
                    "lifeSeconds",
                    Kind.SECONDS,
                    also=("life_s",),
                    low=1,
                    high=TOKEN_LIFE_S_MAX,
                    about="until it expires; without it it does not",
                ),
                Field("roles", Kind.ANY, about="roles of the application that it carries, as a list"),
                Field("note", Kind.TEXT, high=300, about="what it is for"),
            )
        ),
        change=create,
        needs_name=True,
        is_secret=True,
    ),
    Endpoint(
        path="/tokens/{id}",
        about="Let a token hold no more.",
        role=Role.ADMIN,
        query=NO_BODY,
        change=revoke,
        deletes=True,
        needs_name=True,
    ),
    Endpoint(
        path="/audit",
        about="Who changed what, and which requests this node refused.",
        role=Role.ADMIN,
        query=Schema(
            (
                *FRESH,
                Field("since", Kind.WHOLE, high=NUMBER_MAX, about="changes after this revision; none = the newest"),
                Field("limit", Kind.WHOLE, low=1, high=AUDIT_ROWS_MAX, about="how many changes, 100 by default"),
            )
        ),
        ask=audit,
    ),
)
