"""Secrets are put in at one end, and looked for at every other: logs, reprs, answers, dumps, disks, backups."""

from __future__ import annotations

import json
import logging

import attrs
import pytest

import aether
from aether.cli.main import run
from aether.errors import AetherError
from aether.kv import keys
from aether.management.access import AccessRules
from aether.management.table import ENDPOINTS
from aether.node.config import NodeConfig
from aether.web.problem import problem_of
from aether.web.request import Request

SECRET = "canary-5f1d0e2c-secret-of-the-application"


@aether.slice(artifact="shop:vault:1.0.0")
class Vault:
    key: str = aether.secret("vault.key")

    @aether.get("/vault")
    async def length(self) -> int:
        return len(self.key)

    async def broken(self) -> int:
        raise ValueError("no luck")


def plain(node):
    """Everything that the store of a node holds, as bytes."""
    return b"".join(node.kv.freeze()[1])


async def test_no_answer_no_log_and_no_repr_shows_a_secret(aether_cluster, desks, caplog):
    with caplog.at_level(logging.DEBUG):
        (ask,) = await desks(aether_cluster, Vault, secrets={"vault.key": SECRET})
        node = ask.node
        text = (await ask("POST", "/tokens", {"role": "admin", "name": "ci"})).json["token"]
        answers = []
        for endpoint in ENDPOINTS:
            if endpoint.changes_something or endpoint.serve is not None or endpoint.is_backup or endpoint.is_dashboard:
                continue
            path = endpoint.path.replace("{artifact}", "shop:vault:1.0.0").replace("{id}", "app").replace("{name}", "m")
            answers.append((await ask("GET", path, token=text)).json)
        answers.append((await ask("POST", "/kv/put", {"key": "maps/m/k", "value": 1}, token=text)).json)
        answers.append((await ask("POST", "/deploy", {"artifact": text}, token=text)).status)
        answers.append((await ask("GET", "/status", token=text + "x")).json)
        answers.append((await ask("DELETE", "/tokens/nobody", token=text)).json)

    shown = [json.dumps(answers), caplog.text, plain(node).decode("latin-1")]
    shown += [repr(each) for each in (node.config, node.hosting, node.operations.access.tokens.rows(), node.contracts)]
    shown += [repr(vars(node.operations.access.tokens)), repr([vars(record) for record in caplog.records])]
    for secret in (SECRET, text, text.rpartition("_")[2], "t0ken-of-the-data-directory"):
        assert [each[:200] for each in shown if secret in each] == []
    assert await aether_cluster_length(node) == len(SECRET), "it was there all the time"


async def aether_cluster_length(node):
    request = Request(verb="GET", path="/vault", headers=(("host", "x"),), request_id="r")
    return json.loads((await node.slice_handler()(request)).body)


async def test_what_a_node_keeps_of_a_token_cannot_be_shown_to_log_in(aether_cluster, desks):
    """Whoever steals a backup has digests, of 256 random bits each."""
    (ask,) = await desks(aether_cluster, Vault, secrets={"vault.key": SECRET})
    text = (await ask("POST", "/tokens", {"role": "admin", "name": "ci"})).json["token"]
    row = ask.node.operations.access.tokens.find("ci")

    assert row.digest in plain(ask.node)
    assert text.encode() not in plain(ask.node)
    for stolen in (row.digest.hex(), f"aether_ci_{row.digest.hex()}", row.digest.decode("latin-1")):
        assert (await ask("GET", "/status", token=stolen)).status == 401


async def test_disks_and_what_is_shown_of_them_hold_no_secret(tmp_path, capsys):
    """`aether wal` prints the entries of a stopped node; only `admin-token`, mode 0600, holds one."""
    data = tmp_path / "a"
    async with aether.Cluster.open(Vault, name="a", data=data, secrets={"vault.key": SECRET}, management=0) as cluster:
        node = cluster._node
        keeper = node.operations.access.tokens
        issued = await keeper.create(aether.model.access.Role.ADMIN, name="ci")
        assert await cluster.get(Vault).length() == len(SECRET)
    kept = (data / "admin-token").read_text().strip()
    files = {path.name: path.read_bytes() for path in data.rglob("*") if path.is_file() and path.name != "admin-token"}
    assert run(["wal", "inspect", str(data)]) == 0
    assert run(["wal", "inspect", str(data), "--json"]) == 0
    printed = capsys.readouterr()

    assert (data / "admin-token").stat().st_mode & 0o777 == 0o600
    assert len(files) >= 2
    for secret in (SECRET, issued.text, issued.text.rpartition("_")[2], kept):
        assert [name for name, raw in files.items() if secret.encode() in raw] == []
        assert secret not in printed.out + printed.err


@pytest.mark.parametrize(
    "value",
    [
        NodeConfig(node="a", secrets={"k": SECRET}),
        AccessRules(token=SECRET),
        keys.token("ci"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_repr_shows_no_secret(value):
    """Reprs end in tracebacks, and those in logs and tickets."""
    assert SECRET not in repr(value)
    assert SECRET not in str(value)
    if attrs.has(type(value)) and isinstance(value, NodeConfig):
        assert SECRET not in repr(attrs.evolve(value, zone="z"))


async def test_a_failed_call_shows_no_secret(aether_cluster, caplog):
    """Not in the problem document, and not in what the log says of it."""
    cluster = await aether_cluster(Vault, nodes=1, secrets={"vault.key": SECRET})
    with caplog.at_level(logging.DEBUG), pytest.raises(AetherError) as failed:
        await cluster.nodes[0].get(Vault).broken()

    shown = [caplog.text, str(failed.value), repr(failed.value), problem_of(failed.value, "r").body.decode()]
    assert [each for each in shown if SECRET in each] == []
