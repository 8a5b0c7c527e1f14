"""`aether dev` and `aether demo` as their users run them: to the end, and interrupted in the middle."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
import trio

from aether.forge.polling import until

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

APPS = Path(__file__).parent / "apps"


class Running:
    """A command in a process of its own; what it printed so far."""

    def __init__(self, process):
        self.process = process
        self.said = ""

    async def until(self, text):
        with trio.fail_after(60):
            while text not in self.said:
                piece = await self.process.stdout.receive_some()
                assert piece, self.said
                self.said += piece.decode()

    def nodes(self):
        """The node processes that it started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    async def ended(self, within_s):
        with trio.fail_after(within_s):
            async for piece in self.process.stdout:
                self.said += piece.decode()
            return await self.process.wait()


@contextlib.asynccontextmanager
async def command(*arguments, folder):
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "aether", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": str(folder / "state")},
    )
    try:
        yield Running(process)
    finally:
        if process.poll() is None:
            for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                each.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def with_state_of(folder):
    """The environment of a command that finds what nodes of `folder` published."""
    return {**os.environ, "XDG_STATE_HOME": str(folder / "state")}


def alive(processes):
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_demo_that_is_interrupted_leaves_no_process_behind(tmp_path, number):
    """Three forgotten nodes on a laptop are found days later, by the fan."""
    async with command("demo", "--seconds", "60", "--rate", "20", "--kill", "none", folder=tmp_path) as demo:
        await demo.until("sending")
        nodes = demo.nodes()
        assert len(nodes) == 3

        demo.process.send_signal(number)
        demo.process.send_signal(number)
        code = await demo.ended(15)

    assert alive(nodes) == []
    assert code == 130
    assert "Traceback" not in demo.said


async def test_a_demo_interrupted_while_it_starts_leaves_no_process_behind(tmp_path):
    async with command("demo", folder=tmp_path) as demo:
        await demo.until("starting 3 nodes")
        nodes = await until(lambda: len(found := demo.nodes()) >= 3 and found, 20, "three processes", every_s=0.01)

        demo.process.send_signal(signal.SIGINT)
        code = await demo.ended(15)

    assert alive(nodes) == []
    assert code == 130
    assert "Traceback" not in demo.said


async def test_a_short_demo_succeeds_and_may_be_kept(tmp_path):
    """What `--keep` keeps can be asked until Ctrl-C; how the demo went decides the exit code."""
    arguments = ["--seconds", "4", "--rate", "15", "--kill", "follower", "--keep"]
    async with command("demo", *arguments, folder=tmp_path) as demo:
        await demo.until("Ctrl-C")
        await demo.until("aether -c")
        management = re.findall(r"aether -c (\S+) slices", demo.said)
        assert management, demo.said

        done = await trio.run_process(
            [sys.executable, "-m", "aether", "-c", management[0], "slices"],
            capture_stdout=True,
            env=with_state_of(tmp_path),
        )
        assert b"ACTIVE" in done.stdout
        demo.process.send_signal(signal.SIGINT)
        code = await demo.ended(15)

    assert code == 0, demo.said
    assert "audit of node-3: clean" in demo.said
    assert "Traceback" not in demo.said


async def test_a_demo_with_tls_succeeds(tmp_path):
    arguments = ["--seconds", "2", "--rate", "10", "--kill", "none", "--keep", "--tls"]
    async with command("demo", *arguments, folder=tmp_path) as demo:
        await demo.until("aether -c")
        assert "https://127.0.0.1:" in demo.said
        assert "http://" not in demo.said
        management = re.findall(r"aether -c (\S+) slices", demo.said)[0]
        line = [sys.executable, "-m", "aether", "-c", management, "slices"]
        done = await trio.run_process(line, capture_stdout=True, env=with_state_of(tmp_path))
        assert b"ACTIVE" in done.stdout
        demo.process.send_signal(signal.SIGINT)
        code = await demo.ended(15)

    assert code == 0, demo.said


async def test_dev_says_at_once_which_slice_does_not_start(tmp_path):
    """A developer's slice fails often; the cluster stays up, and the reason stands at the end of the log."""
    async with command("dev", "e2e_app", "--nodes", "3", "--app-dir", str(APPS), folder=tmp_path) as dev:
        await dev.until("not everything is ACTIVE")
        await dev.until("the broken slice cannot start")
        await dev.until("Ctrl-C ends all of them")
        nodes = dev.nodes()
        assert len(nodes) == 3
        last = dev.said.index("not everything")

        dev.process.send_signal(signal.SIGINT)
        code = await dev.ended(15)

    assert code == 130
    assert alive(nodes) == []
    assert "Traceback" not in dev.said[last:]


RELOADED = """
import aether

@aether.slice
class Word:
    @aether.get("/word")
    async def word(self) -> str:
        return "{word}"
"""


async def test_dev_starts_anew_when_the_code_changes_and_not_when_it_makes_no_sense(tmp_path):
    code = tmp_path / "said.py"
    code.write_text(RELOADED.format(word="one"))
    async with command("dev", "said", "--reload", folder=tmp_path) as dev, httpx.AsyncClient(trust_env=False) as client:
        await dev.until("Ctrl-C ends all of them")
        url = re.search(r"(http://127.0.0.1:\d+)", dev.said)[1] + "/word"
        assert (await client.get(url)).json() == "one"

        code.write_text("def broken(:")
        await dev.until("nothing is started anew until that is mended")
        assert (await client.get(url)).json() == "one"

        dev.said = ""
        code.write_text(RELOADED.format(word="two"))
        await dev.until("Ctrl-C ends all of them")
        assert (await client.get(url)).json() == "two"
        nodes = dev.nodes()
        dev.process.send_signal(signal.SIGINT)
        assert await dev.ended(15) == 130
    assert alive(nodes) == []


async def test_dev_with_tls_speaks_nothing_else(tmp_path):
    """Certificates, the command that finds them, and what a plain client gets: without a line of setting up."""
    (tmp_path / "hello.py").write_text(
        "import aether\n\n\n@aether.slice\nclass Hello:\n"
        '    @aether.get("/hello")\n    async def hello(self) -> str:\n        return "hello"\n'
    )
    async with command("dev", "hello", "--nodes", "2", "--tls", folder=tmp_path) as dev:
        await dev.until("Ctrl-C ends all of them")
        authorities, http = re.findall(r"curl --cacert (\S+) (https://\S+?)/\.\.\.", dev.said)[0]
        management = re.findall(r"^node-1 +\S+ +https://(\S+)", dev.said, re.M)[0]
        hint = re.findall(r"^  aether (.*)slices$", dev.said, re.M)[0]
        assert hint == ("" if management == "127.0.0.1:8080" else f"-c {management} ")  # what it asks unless told
        import httpx

        from aether.security.contexts_service import web_client

        async with httpx.AsyncClient(verify=web_client(Path(authorities)), trust_env=False) as client:
            assert (await client.get(f"{http}/hello")).json() == "hello"
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.HTTPError):
                await client.get(f"{http.replace('https', 'http')}/hello")
        line = [sys.executable, "-m", "aether", "-c", management, "status", "-o", "json"]
        done = await trio.run_process(line, capture_stdout=True, env=with_state_of(tmp_path))
        assert json.loads(done.stdout)["quorum"] is True
        dev.process.send_signal(signal.SIGINT)
        assert await dev.ended(15) == 130
    assert not await trio.Path(authorities).exists()


async def test_a_configuration_file_starts_a_node_end_to_end(tmp_path):
    """What an operator deploys is a file; every section of it must arrive."""
    (tmp_path / "aether.toml").write_text(
        '[cluster]\nname = "shop"\n[node]\nid = "one"\ndata_dir = "state"\n'
        '[ports]\ncluster = 0\nhttp = 0\nmanagement = 0\n[config]\nword = "from the file"\n[secrets]\nkey = "s3"\n'
    )
    (tmp_path / "said.py").write_text(
        "import aether\n\n\n@aether.slice\nclass Said:\n"
        '    word: str = aether.config("word")\n    key: str = aether.secret("key")\n\n'
        '    @aether.get("/word")\n    async def said(self) -> str:\n        return self.word + self.key\n'
    )
    async with command("node", "--config", "aether.toml", "--app", "said", folder=tmp_path) as node:
        await node.until("cluster 127")
        http = re.findall(r"http (http://\S+)", node.said)[0]
        at = re.findall(r"management http://(\S+)", node.said)[0]
        line = [sys.executable, "-m", "aether", "-c", at, "deploy", "app:said:0.0.0", "--wait"]
        env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
        await trio.run_process(line, env=env, capture_stdout=True)

        import httpx

        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{http}/word")).json() == "from the files3"
        assert (tmp_path / "state" / "admin-token").exists()
        node.process.send_signal(signal.SIGTERM)
        assert await node.ended(15) == 0


async def test_sigterm_before_a_quorum_ends_a_node_in_order(tmp_path):
    """A pod that is stopped before its peers came up must not need SIGKILL."""
    peers = "a:127.0.0.1:1,b:127.0.0.1:2,c:127.0.0.1:3"
    ports = ["--port", "0", "--http-port", "0", "--management-port", "0"]
    async with command("node", "--node-id", "a", "--peers", peers, *ports, folder=tmp_path) as node:
        await node.until("cluster 127")
        node.process.send_signal(signal.SIGTERM)

        assert await node.ended(5) == 0
    assert "Traceback" not in node.said
