"""The base of our own types of arguments, for old and new releases of click.

Knows: that click made its class generic long after the oldest release that we work with.
Never: any type of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    NumberParam = click.ParamType[float]
    TextParam = click.ParamType[str]
else:
    NumberParam = TextParam = click.ParamType
