"""`aether token` and `aether audit`, as an operator types them, against a real node."""

import contextlib
import json
import os
import sys

import trio

import aether


@contextlib.asynccontextmanager
async def node(path):
    async with aether.Cluster.open(name="a", data=path, management=0) as cluster:
        yield cluster.addresses.management_address


async def typed(address, *words, token=None):
    """Exit code, standard output and standard error of one command in a process of its own."""
    environment = {**os.environ, "AETHER_CONNECT": address, **({"AETHER_TOKEN": token} if token else {})}
    line = [sys.executable, "-m", "aether", *words]
    done = await trio.run_process(line, capture_stdout=True, capture_stderr=True, check=False, env=environment)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_a_token_is_handed_out_once_used_listed_and_revoked(tmp_path):
    async with node(tmp_path / "a") as address:
        code, text, said = await typed(address, "token", "create", "ci", "--role", "operator", "--expires", "1h")
        token = text.strip()
        assert code == 0
        assert token.startswith("aether_ci_")
        assert token not in said
        assert (await typed(address, "kv", "put", "maps/m/k", "1", token=token))[0] == 0
        refused = await typed(address, "token", "list", token=token)
        assert refused[0] == 4
        assert "admin" in refused[2]
        listed = json.loads((await typed(address, "token", "list", "-o", "json"))[1])
        assert [(row["id"], row["role"]) for row in listed["tokens"]] == [("ci", "operator")]
        assert token not in json.dumps(listed)
        assert (await typed(address, "token", "create", "ci"))[0] == 4
        audit = json.loads((await typed(address, "audit", "-o", "json"))[1])
        assert [(row["actor"], row["path"]) for row in audit["changes"]] == [("admin", "/tokens"), ("ci", "/kv/put")]
        assert [row["caller"] for row in audit["refused"]] == ["ci"]
        assert (await typed(address, "token", "revoke", "ci"))[0] == 0
        code, _, said = await typed(address, "status", token=token)
        assert code == 4
        assert "revoked" in said


async def test_a_token_for_a_program_goes_into_a_file_that_only_its_owner_reads(tmp_path):
    out = tmp_path / "ci.token"
    async with node(tmp_path / "a") as address:
        code, text, said = await typed(address, "token", "create", "ci", "--out", str(out))
        token = out.read_text().strip()
        assert code == 0
        assert out.stat().st_mode & 0o777 == 0o600
        assert token not in text + said
        assert (await typed(address, "status", token=token))[0] == 0
        again = await typed(address, "token", "create", "other", "--out", str(out))
        assert again[0] == 2
        assert out.read_text().strip() == token
        lost = tmp_path / "lost.token"
        assert (await typed(address, "token", "create", "ci", "--out", str(lost)))[0] == 4
        assert not lost.exists(), "there was no token to keep"
