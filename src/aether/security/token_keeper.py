"""Tokens of the cluster: made, listed, revoked, from any node.

Knows: their rows, how many there may be.
Never: keeps a secret: the text of a token is in the answer to whoever made it, and nowhere else.
Holds: an id is given to one token at a time; a revoked token is known no more on any node that has applied it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from aether.errors import BadInput, Conflict, NotFound, QuotaExceeded
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.access import ApiTokenRow, Role
from aether.model.ids import Revision, is_name
from aether.model.limits import TOKEN_LIFE_S_MAX, TOKEN_ROLES_MAX, TOKENS_MAX
from aether.model.security import is_role
from aether.security.tokens import SECRET_BYTES, digest_of, token_text

_TRIES_MAX: Final = 8


@attrs.frozen
class IssuedToken:
    """A token that was made. text  to be handed over: it is not kept"""

    row: ApiTokenRow
    text: str = attrs.field(repr=False)
    revision: Revision


class TokenKeeper:
    """Of one node.

    wall  seconds since the epoch; draw  so many bytes from the operating system
    """

    def __init__(self, kv: KvService, wall: Callable[[], float], draw: Callable[[int], bytes]) -> None:
        self._kv = kv
        self._wall = wall
        self._draw = draw
        kv.follow(keys.TOKENS)

    def find(self, identity: str) -> ApiTokenRow | None:
        """The row of a token as applied here."""
        return self._kv.get(keys.token(identity))

    def rows(self) -> Sequence[ApiTokenRow]:
        """All of them, those that have expired too."""
        return tuple(self._kv.rows(keys.TOKENS))

    @property
    def revision(self) -> Revision:
        return self._kv.revision

    async def create(
        self,
        role: Role,
        *,
        name: str = "",
        life_s: float | None = None,
        roles: Sequence[str] = (),
        note: str = "",
        by: str = "",
    ) -> IssuedToken:
        """Make a token for `role`.

        name    its id; "" draws one
        life_s  until it expires; None = it does not
        roles   of the application, for its own routes

        Raises BadInput, Conflict (there is one of that name), QuotaExceeded, and what a proposal raises.
        """
        identity = name or self._draw(6).hex()
        self._check(identity, life_s, roles)
        await self._kv.barrier()
        if len(self.rows()) >= TOKENS_MAX:
            raise QuotaExceeded("tokens of the cluster", TOKENS_MAX, "tokens")
        text = token_text(identity, self._draw(SECRET_BYTES))
        now = self._wall()
        row = ApiTokenRow(
            id=identity,
            digest=digest_of(text),
            role=role,
            roles=tuple(roles),
            note=note,
            created_by=by,
            created_at=now,
            expires_at=None if life_s is None else now + life_s,
        )
        key = keys.token(identity)
        result = await self._kv.propose(Batch((Compare(key, Revision(0)),), (Put(key, row),)))
        if not result.applied:
            raise Conflict(f"token {identity}", "there is one of that name; revoke it first, or choose another name")
        return IssuedToken(row, text, result.revision)

    async def revoke(self, identity: str) -> Revision:
        """Let a token hold no more. Raises NotFound, and what a proposal raises."""
        await self._kv.barrier()
        key = keys.token(identity) if is_name(identity) else None
        for _ in range(_TRIES_MAX):
            version = self._kv.version(key) if key is not None else Revision(0)
            if key is None or not version:
                raise NotFound("token", identity[:80], "`aether token list` shows all")
            result = await self._kv.propose(Batch((Compare(key, version),), (Delete(key),)))
            if result.applied:
                return result.revision
        raise Conflict(f"token {identity}", "others keep changing it; look again")

    def _check(self, identity: str, life_s: float | None, roles: Sequence[str]) -> None:
        problems: list[str] = []
        if not is_name(identity):
            problems.append(f"name: {identity[:80]!r}; use letters, digits and inner . _ - ; at most 63 characters")
        if life_s is not None and not 1 <= life_s <= TOKEN_LIFE_S_MAX:
            problems.append(f"lifeSeconds: {life_s:g}; 1 to {TOKEN_LIFE_S_MAX:g}, or none for a token without an end")
        if len(roles) > TOKEN_ROLES_MAX:
            problems.append(f"roles: {len(roles)}; at most {TOKEN_ROLES_MAX}")
        problems += [f"roles: {role[:80]!r}; use a-z, 0-9, _ and -" for role in roles[:8] if not is_role(role)]
        if problems:
            raise BadInput("the token does not fit", tuple(problems))
