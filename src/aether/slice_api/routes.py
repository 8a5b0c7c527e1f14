"""The routes of a contract, and what two of them may not share.

Knows: the methods of one contract, or of several, with their templates.
Never: how a request is matched (room web) or read (module http_plan).
Holds: two routes clash when they answer the same verb and the same paths, whatever their variables are called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from aether.errors import ContractError
from aether.model.route import Route
from aether.slice_api.marks import PLAIN_ROUTE
from aether.slice_api.methods import MethodSpec

Shape = tuple[str, str]


def shape_of(route: Route) -> Shape:
    """What two routes that answer the same requests have in common."""
    return route.verb, re.sub(r"\{\w*", "{", route.template)


def routes_of(owner: str, methods: Mapping[str, MethodSpec]) -> tuple[Route, ...]:
    """The routes of one contract. Raises ContractError for two that clash, naming both."""
    found: dict[Shape, Route] = {}
    for method in methods.values():
        for verb, template in method.routes:
            route = _route(method, verb, template)
            other = found.setdefault(shape_of(route), route)
            if other is not route:
                raise ContractError(
                    f"{owner}: {other.method} and {method.name} both serve {verb} {template}; change one"
                )
    return tuple(found.values())


def check_routes(slices: Iterable[tuple[str, Iterable[Route]]]) -> None:
    """Raise ContractError when two slices clash, naming both. slices  (name, its routes)"""
    found: dict[Shape, tuple[str, Route]] = {}
    for name, routes in slices:
        for route in routes:
            other, theirs = found.setdefault(shape_of(route), (name, route))
            if other != name:
                raise ContractError(
                    f"{other}.{theirs.method} serves {theirs.verb} {theirs.template}, and {name}.{route.method} serves "
                    f"{route.verb} {route.template}, which are the same paths; change one of the two templates"
                )


def _route(method: MethodSpec, verb: str, template: str) -> Route:
    at = (verb, template)
    options = method.facts.get(at, PLAIN_ROUTE).options
    return Route(verb, template, method.name, method.idempotent, method.kind_of(at), method.input, options)
