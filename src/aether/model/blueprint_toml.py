"""Blueprints as TOML text.

Knows: the spelling of a blueprint; every problem is reported at once, with the path of its key.
Never: which artifacts exist.
"""

from __future__ import annotations

from aether.model.blueprint import APP, Blueprint


def parse_blueprint(text: str, default_id: str = APP) -> Blueprint:
    """The blueprint in `text`. Raises BadInput that lists every problem as `path: what is wrong`.

    default_id  used when the text has no `id`
    """
    raise NotImplementedError
