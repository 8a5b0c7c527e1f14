"""The artifact repository, which is not built yet: every path of it says so.

Knows: the paths of the original.
Never: artifacts; code comes from directories until there is a repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether.management.actors import Actors
from aether.management.endpoint import NO_BODY, Endpoint
from aether.model.access import Role
from aether.web.problem import problem
from aether.web.request import Request, Response

_DETAIL: Final = (
    "there is no artifact repository yet; put trees of slices under the directory of `aether node --slices DIR`, "
    "and see GET /slices/store for what each node can run"
)


async def not_there(
    actors: Actors, request: Request, query: Mapping[str, object], variables: Mapping[str, str]
) -> Response:
    return problem(501, _DETAIL, request.request_id, kind="no-repository")


REPOSITORY_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        path="/repository/{rest:path}",
        about="Artifacts over HTTP: answers 501 until there is a repository.",
        role=Role.VIEWER,
        query=NO_BODY,
        serve=not_there,
        also=("POST", "PUT", "DELETE"),
    ),
)
