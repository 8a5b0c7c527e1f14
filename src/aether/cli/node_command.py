"""`aether node`: one node in this process, until a signal ends it.

Knows: arguments, the environment and the configuration file; signals.
Never: what a node is made of (rooms node and cluster).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import attrs
import click

from aether.cli.exits import CommandFailed, Exit

FILE_CHARS_MAX = 1024 * 1024
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"


@click.command()
@click.option("--node-id", help="Name of this node [node-1].")
@click.option("--peers", metavar="ID:HOST:PORT,...", help="The founding nodes; this one may be among them.")
@click.option("--join", multiple=True, metavar="HOST:PORT", help="Cluster port of a member to join; may be repeated.")
@click.option("--core-max", type=int, metavar="N", help="Voters that the group grows to by itself [5].")
@click.option("--cluster", metavar="NAME", help="Name of the cluster [aether]; peers of another one are refused.")
@click.option("--port", type=int, help="Port for peers [8090]; 0 = any free one.")
@click.option("--management-port", type=int, help="Port of the management API [8080].")
@click.option("--http-port", type=int, help="Port of the slices' HTTP routes [8081].")
@click.option("--bind", metavar="HOST", help="Address to listen on [127.0.0.1].")
@click.option("--advertise", metavar="HOST", help="Address that others reach this node by [the bind address].")
@click.option("--zone", metavar="NAME", help="Where this node stands; calls prefer instances of their own zone.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="What placement may ask for.")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where state survives [aether-data/NODE-ID]."
)
@click.option(
    "--app", "apps", multiple=True, metavar="MODULE[:ATTR]", help="Slices this node can run; may be repeated."
)
@click.option(
    "--app-dir", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where modules are found [.]."
)
@click.option(
    "--slices",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Trees NAME/VERSION of slices that this node runs in processes of their own.",
)
@click.option(
    "--config", "file", type=click.Path(dir_okay=False, path_type=Path), help="A TOML file with these settings."
)
@click.option("--set", "values", multiple=True, metavar="NAME=VALUE", help="What slices read through aether.config.")
@click.option(
    "--lease-reads", is_flag=True, default=None, help="The leader answers reads alone; failover takes longer."
)
@click.option("--priority", type=int, help="Among nodes with equal logs the highest is wished for as leader [0].")
@click.option("--cluster-manager", metavar="NAME", help="Who places instances [reconcile]; `manual`: orders alone.")
@click.option("--placement", metavar="NAME", help="How a node is chosen for an instance [spread].")
@click.option("--insecure", is_flag=True, help="Accept changes without a token, and addresses that are not loopback.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True)
def node(
    apps: tuple[str, ...],
    app_dir: Path,
    file: Path | None,
    values: tuple[str, ...],
    labels: tuple[str, ...],
    log_level: str,
    cluster_manager: str | None,
    placement: str | None,
    **given: Any,
) -> int:
    """Run one node of a cluster in this process.

    It deploys nothing by itself: apply a blueprint. SIGTERM or Ctrl-C drains and ends it; a second one ends it at once.
    """
    from aether.cli.applications import load_slices
    from aether.cluster import run_node
    from aether.cluster.replaced import Parts
    from aether.node.assignments import set_labels, set_values
    from aether.node.config import Sources, load

    toml = _read(file) if file is not None else ""
    given["join"] = given["join"] or None  # the environment and the file are asked next
    config = load(Sources(arguments=given, environment=os.environ, file=str(file or ""), toml=toml))
    config = attrs.evolve(set_labels(set_values(config, values), labels), app_dir=app_dir)
    logging.basicConfig(level=log_level.upper(), format=LOG_FORMAT)
    slices = load_slices(apps, app_dir)  # from here on their folder is on the path, for parts of the same application
    return run_node(config, slices, Parts(cluster_manager=cluster_manager, placement=placement))


def _read(file: Path) -> str:
    try:
        with file.open() as opened:
            text = opened.read(FILE_CHARS_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(Exit.USAGE, f"cannot read --config {file}: {error}") from error
    if len(text) > FILE_CHARS_MAX:
        message = f"--config {file} is longer than {FILE_CHARS_MAX} characters; is that a configuration?"
        raise CommandFailed(Exit.USAGE, message)
    return text
