"""Clusters of real processes for the end-to-end tests; a failure prints the log of all nodes."""

import contextlib
import shutil
from pathlib import Path

import httpx
import pytest

from aether.forge.console import Console
from aether.forge.polling import until
from aether.forge.processes import LocalPlan, open_processes

APPS = Path(__file__).parent / "apps"
READY_S = 30.0
OFFERED_S = 60.0


class Running:
    """A running cluster: processes, console, and an HTTP client."""

    def __init__(self, processes, client, lines):
        self.processes = processes
        self.client = client
        self.lines = lines
        urls = {name: ports.management_url for name, ports in processes.ports.items()}
        self.console = Console(client, urls, self.token)

    def token(self, node):
        return (self.processes.directory(node) / "admin-token").read_text().strip()

    def http(self, node):
        return self.processes.ports[node].http_url

    def connect(self, node):
        return f"127.0.0.1:{self.processes.ports[node].management}"

    async def ready(self, *nodes):
        for node in nodes or self.processes.ports:
            await self.console.wait_ready(node, READY_S)

    async def deploy(self, artifact, instances=1, node="node-1"):
        body = {"artifact": artifact, "instances": instances}
        return await self.console.post(node, "/deploy?wait=30", body=body)

    async def offered(self, *artifacts, by="node-1"):
        """Every node offers them, and `by` knows it."""

        async def known():
            members = (await self.console.get(by, "/members"))["members"]
            return len(members) == len(self.processes.ports) and all(
                set(artifacts) <= set(member["available"]) for member in members
            )

        await until(known, OFFERED_S, f"all offer {', '.join(artifacts)}")

    async def ended(self, node):
        """The exit code of `node` and all it printed, as soon as its process ended."""
        await until(lambda: self.processes.exit_code(node) is not None, READY_S, f"{node} ends")
        return self.processes.exit_code(node), "\n".join(self.lines[node])


@contextlib.asynccontextmanager
async def cluster(folder, *, nodes=3, app="e2e_app", apps=None, app_dir=APPS, arguments=(), joins=False, **plans):
    lines = {f"node-{n + 1}": [] for n in range(nodes)}
    apps = (app,) if apps is None else apps
    plan = LocalPlan(nodes=nodes, apps=apps, app_dir=app_dir, folder=folder, arguments=arguments, joins=joins, **plans)
    async with httpx.AsyncClient(trust_env=False, timeout=20.0) as client:
        async with open_processes(plan, lambda node, line: lines[node].append(line)) as processes:
            try:
                yield Running(processes, client, lines)
            except BaseException:
                for node, said in lines.items():
                    print(f"--- {node}", *said[-60:], sep="\n")
                raise


@pytest.fixture
def chromium():
    """The command of a browser, of which a test needs its own."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


@pytest.fixture
def open_cluster(tmp_path):
    return lambda folder="", **options: cluster(tmp_path / folder, **options)
