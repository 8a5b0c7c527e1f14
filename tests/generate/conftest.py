"""`aether` as a command of the shell, and settings as a node would read what was generated."""

import os
import sys

import pytest

from aether.generate.setup import Setup
from aether.node.config_sources import Sources, load


@pytest.fixture
def shell(tmp_path):
    """An environment in which scripts find `aether`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "aether"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aether "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "XDG_STATE_HOME": str(tmp_path / "state")}


def written(files, folder):
    """What `aether generate` would have put there."""
    folder.mkdir(exist_ok=True)
    for file in files:
        path = folder / file.path
        path.write_text(file.text)
        path.chmod(0o755 if file.is_script else 0o644)
    return folder


def read_settings(toml, environment=None, **arguments):
    """As a node would; raises what would keep it from starting."""
    config = load(Sources(toml=toml, file="aether.toml", environment=environment or {}, arguments=arguments))
    config.check()
    return config


SHAPES = [
    pytest.param(Setup(), id="three"),
    pytest.param(Setup(nodes=1), id="one"),
    pytest.param(Setup(nodes=2, tls=False), id="two-insecure"),
    pytest.param(
        Setup(name="shop", nodes=7, apps=("shop:Cart", "shop.stock"), drain_s=45, plain_http=True), id="seven"
    ),
]
