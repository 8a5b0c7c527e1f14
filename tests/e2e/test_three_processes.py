"""Three real processes on loopback: deploy, call, lose, return, refuse."""

import json
import shutil
import signal
import subprocess
import sys

import httpx
import pytest
import trio

from aether.forge.polling import until

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

REACHABLE_ROUNDS = 25
ECHO = 'id = "echo"\n[[slices]]\nartifact = "e2e:echo:1.0.0"\n'
NOTHING = 'id = "echo"\n'


async def aether(*arguments, code=0):
    """Run the command in a process of its own; what it printed."""
    done = await trio.run_process(
        [sys.executable, "-m", "aether", *arguments],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    printed = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == code, printed
    assert "Traceback" not in printed
    return printed


async def test_a_blueprint_applied_on_one_node_is_reachable_on_every_other_at_once(open_cluster):
    """Nobody should have to wait and hope between `apply --wait` and the first request."""
    async with open_cluster() as running:
        await running.ready()
        nodes = list(running.processes.ports)
        for number in range(REACHABLE_ROUNDS):
            here = nodes[number % 3]
            await running.console.post(here, "/blueprint?wait=30", text=ECHO)
            for node in nodes:
                answer = await running.client.get(f"{running.http(node)}/echo/x")
                assert (answer.status_code, answer.json()) == (200, "x"), (number, node, answer.text)
            await running.console.post(here, "/undeploy?wait=30", body={"artifact": "e2e:echo:1.0.0"})


async def test_everything_survives_the_death_of_all_nodes_at_once(open_cluster):
    """Acknowledged means durable: a power cut of the whole rack loses nothing."""
    async with open_cluster() as running:
        await running.ready()
        await running.deploy("e2e:counter:1.0.0", 2)
        assert (await running.client.put(f"{running.http('node-1')}/counts/a", json={"value": 7})).status_code == 200

        for node in running.processes.ports:
            await running.processes.kill(node)
        for node in running.processes.ports:
            await running.processes.start(node)
        await running.ready()

        await running.console.wait_active("node-2", {"e2e:counter:1.0.0": 2}, 30.0)
        for node in running.processes.ports:
            assert (await running.client.get(f"{running.http(node)}/counts/a")).json() == 7


async def test_a_node_with_an_emptied_disk_is_refused_and_told_what_to_do(open_cluster):
    """A voter that forgot its votes could vote twice in one term; and the cluster must not notice its attempt."""
    async with open_cluster() as running:
        await running.ready()
        await running.processes.kill("node-3")
        shutil.rmtree(running.processes.directory("node-3"))

        await running.processes.start("node-3")
        code, said = await running.ended("node-3")

        assert code == 1
        assert "--data-dir" in said
        assert "Traceback" not in said
        assert await running.console.is_ready("node-1")


async def test_a_data_directory_in_use_is_refused(open_cluster):
    async with open_cluster(nodes=1) as running:
        await running.ready()

        command = running.processes.command("node-1")[3:]
        said = await aether(*[*command, "--port", "0", "--http-port", "0", "--management-port", "0"], code=1)

        assert "in use" in said
        assert await running.console.is_ready("node-1")


async def test_a_second_node_with_the_same_id_is_refused(open_cluster, tmp_path):
    """Two processes of one name would answer for each other."""
    async with open_cluster() as running:
        await running.ready()

        command = running.processes.command("node-3")[3:]
        ports = ["--port", "0", "--http-port", "0", "--management-port", "0"]
        said = await aether(*command, *ports, "--data-dir", str(tmp_path / "other"), code=1)

        assert "node-3" in said
        assert await running.console.is_ready("node-3")


async def test_a_taken_port_is_named_with_its_option(open_cluster, tmp_path):
    async with open_cluster(nodes=1) as running:
        await running.ready()
        taken = str(running.processes.ports["node-1"].http)

        said = await aether("node", "--port", "0", "--management-port", "0", "--http-port", taken,
                            "--data-dir", str(tmp_path / "b"), code=1)  # fmt: skip

        assert taken in said
        assert "--http-port" in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_ends_a_node_cleanly(open_cluster, number, code):
    async with open_cluster(nodes=1) as running:
        await running.ready()
        began = trio.current_time()

        running.processes.send_signal("node-1", number)
        got, said = await running.ended("node-1")

        assert got == code
        assert "Traceback" not in said
        assert trio.current_time() - began < 5


async def test_ctrl_c_without_a_quorum_ends_at_once(open_cluster):
    """A node that waits for its peers can be left as easily as a healthy one."""
    async with open_cluster() as running:
        await running.ready()
        await running.processes.kill("node-2")
        await running.processes.kill("node-3")
        await trio.sleep(0.5)
        began = trio.current_time()

        running.processes.send_signal("node-1", signal.SIGINT)
        code, said = await running.ended("node-1")

        assert code == 130
        assert "Traceback" not in said
        assert trio.current_time() - began < 2


async def test_a_slice_that_cannot_start_is_failed_with_its_reason(open_cluster):
    """The operator reads why where they look anyway; nothing else is disturbed."""
    async with open_cluster() as running:
        await running.ready()

        with pytest.raises(httpx.HTTPStatusError, match="the broken slice cannot start"):
            await running.console.post(
                "node-1", "/deploy?wait=3", body={"artifact": "e2e:broken:1.0.0", "instances": 1}
            )

        states = {(i["state"], i["reason"]) for i in await running.console.instances("node-2")}
        assert any("the broken slice cannot start" in reason for _, reason in states), states
        printed = await aether("slices", "-c", running.connect("node-3"))
        assert "the broken slice cannot start" in printed


async def test_the_command_line_deploys_scales_looks_and_removes(open_cluster):
    async with open_cluster() as running:
        await running.ready()
        at = ("-c", running.connect("node-2"))

        await aether("deploy", "e2e:echo:1.0.0", "-n", "2", "--wait", *at)
        slices = json.loads(await aether("-o", "json", "slices", *at))
        assert slices["slices"][0]["activeInstances"] == 2
        await aether("scale", "e2e:echo", "-n", "3", "--wait", *at)
        assert (await aether(*at, "slices")).count("ACTIVE") == 3
        assert "/echo/{text}" in await aether("routes", *at)
        assert "node-3" in await aether("nodes", *at)
        await aether("health", *at)
        await aether("undeploy", "e2e:echo:1.0.0", "--wait", *at)
        assert "ACTIVE" not in await aether("slices", *at)

        answer = await running.client.get(f"{running.http('node-1')}/echo/x")
        assert answer.status_code == 404


async def test_a_stranger_may_look_but_not_touch(open_cluster, monkeypatch, tmp_path):
    """Another user of the machine has no token."""
    async with open_cluster(nodes=1) as running:
        await running.ready()
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
        at = ("-c", running.connect("node-1"))

        await aether("slices", *at)
        said = await aether("deploy", "e2e:echo:1.0.0", *at, code=4)

        assert "token" in said


async def test_no_quorum_is_said_honestly(open_cluster):
    async with open_cluster() as running:
        await running.ready()
        await running.processes.kill("node-2")
        await running.processes.kill("node-3")

        async def without_quorum():
            return not await running.console.is_ready("node-1")

        await until(without_quorum, 30)
        health = await running.console.get("node-1", "/health")
        assert (health["quorum"], health["status"]) == (False, "unhealthy")
        await aether("health", "-c", running.connect("node-1"), code=1)


@pytest.mark.parametrize(
    ("verb", "path", "content", "kind", "status"),
    [
        ("PUT", "/counts/a", b"{", "application/json", 400),
        ("PUT", "/counts/a", b'{"value": "many"}', "application/json", 422),
        ("GET", "/echo/x?times=many", b"", "", 422),
        ("GET", "/nowhere", b"", "", 404),
        ("POST", "/echo/x", b"", "", 405),
    ],
)
async def test_a_wrong_request_is_answered_with_what_is_wrong(open_cluster, verb, path, content, kind, status):
    async with open_cluster(nodes=1) as running:
        await running.ready()
        await running.deploy("e2e:echo:1.0.0")
        await running.deploy("e2e:counter:1.0.0")

        headers = {"Content-Type": kind} if kind else {}
        answer = await running.client.request(
            verb, running.http("node-1") + path, content=content or None, headers=headers
        )

        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json()["status"] == status
        if status == 405:
            assert answer.headers["allow"]


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "aether", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("aether ")
