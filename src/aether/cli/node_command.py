"""`aether node`: one node in this process, until a signal ends it.

Knows: arguments, signals.
Never: what a node is made of (rooms node and cluster).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import click

from aether.cli.log_format import FORMATS, write_log
from aether.cli.node_settings import gathered, node_settings


@click.command()
@node_settings
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="What placement may ask for.")
@click.option(
    "--app", "apps", multiple=True, metavar="MODULE[:ATTR]", help="Slices this node can run; may be repeated."
)
@click.option(
    "--app-dir", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where modules are found [.]."
)
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="What slices read through aether.config.")
@click.option("--cluster-manager", metavar="NAME", help="Who places instances [reconcile]; `manual`: orders alone.")
@click.option("--placement", metavar="NAME", help="How a node is chosen for an instance [spread].")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True)
@click.option(
    "--log-format", type=click.Choice(FORMATS), default="text", show_default=True, help="Lines for people or machines."
)
def node(
    apps: tuple[str, ...],
    app_dir: Path,
    values: tuple[str, ...],
    labels: tuple[str, ...],
    log_level: str,
    log_format: str,
    cluster_manager: str | None,
    placement: str | None,
    **given: Any,
) -> int:
    """Run one node of a cluster in this process.

    It deploys nothing by itself: apply a blueprint. SIGTERM drains and ends it; Ctrl-C gives what runs half a second
    only. A second one ends it at once.
    """
    from aether.cli.applications import load_slices
    from aether.cluster import run_node
    from aether.cluster.replaced import Parts
    from aether.node.assignments import set_labels, set_values
    from aether.node.config_sources import load

    config = load(gathered(given))
    config = attrs.evolve(set_labels(set_values(config, values), labels), app_dir=app_dir)
    write_log(log_level, log_format, config.node)
    slices = load_slices(apps, app_dir)  # from here on their folder is on the path, for parts of the same application
    return run_node(config, slices, Parts(cluster_manager=cluster_manager, placement=placement))
