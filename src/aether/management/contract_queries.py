"""The answers about contracts: which versions are known, and what one of them says.

Knows: rows of contracts; coordinates with and without a version.
Never: what a description means; it is shown as its node wrote it, also where its names are the users' own.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping

from aether.errors import BadInput, NotFound
from aether.management.facts import Answer, Facts
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.rows import ContractRow


def contracts(facts: Facts, query: Mapping[str, object]) -> Answer:
    """Every version whose contract is known, newest first."""
    rows = sorted(facts.view.contracts(), key=lambda row: row.artifact, reverse=True)
    active = {row.artifact for row in facts.view.instances()}
    found = [{"artifact": str(row.artifact), "running": row.artifact in active} for row in rows]
    return {"contracts": found, "revision": facts.view.revision}


def contract(facts: Facts, query: Mapping[str, object], artifact: str) -> Answer:
    """One contract. Without a version, that of the one in force, or the newest when it is not deployed."""
    rows = {row.artifact: row for row in facts.view.contracts()}
    row = rows.get(Artifact.parse(artifact)) if artifact.count(":") == 2 else _in_force(facts, rows, artifact)
    if row is None:
        raise NotFound("contract", artifact, _hint(rows, artifact))
    return {"artifact": str(row.artifact), "contract": _read(row), "revision": facts.view.revision}


def _hint(rows: Iterable[Artifact], text: str) -> str:
    known = [str(artifact if text.count(":") == 2 else artifact.base) for artifact in rows]
    near = difflib.get_close_matches(text, known, n=1)
    return f"did you mean {near[0]}?" if near else "GET /contracts lists those that are known"


def _in_force(facts: Facts, rows: Mapping[Artifact, ContractRow], base_text: str) -> ContractRow | None:
    base = ArtifactBase.parse(base_text)
    for desired in facts.view.desired():
        if desired.artifact.base == base and desired.artifact in rows:
            return rows[desired.artifact]
    known = [artifact for artifact in rows if artifact.base == base]
    return rows[max(known)] if known else None


def _read(row: ContractRow) -> object:
    try:
        found: object = json.loads(row.text)
    except ValueError as error:
        raise BadInput(f"the row of the contract {row.artifact}", (f"no JSON: {error}",)) from None
    return found
