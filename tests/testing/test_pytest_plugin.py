"""The pytest plugin as users meet it: in a folder of their own, with no configuration, among other plugins."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

SLICE = """
import pytest
import trio

import aether


@aether.slice
class Greeter:
    async def hello(self, name: str) -> str:
        return f"Hello, {name}!"

"""


@pytest.fixture
def run(tmp_path):
    """Run pytest on a test file in an empty folder; what it printed."""

    def run(test, code, conftest="", *arguments):
        (tmp_path / "test_it.py").write_text(SLICE + test)
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")  # nothing is inherited from folders above
        line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, "test_it.py"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return run


def test_an_async_test_that_asks_for_a_cluster_runs_without_configuration(run):
    printed = run(
        """
async def test_it(aether_cluster):
    cluster = await aether_cluster(Greeter, nodes=3)
    began = trio.current_time()
    await trio.sleep(60)
    assert trio.current_time() - began >= 60
    assert await cluster.get(Greeter).hello("ann") == "Hello, ann!"

@pytest.mark.parametrize("name", ["a", "b"])
class TestGrouped:
    async def test_it(self, aether_cluster, tmp_path, name):
        cluster = await aether_cluster(Greeter, nodes=1)
        other = await aether_cluster(Greeter, nodes=1)
        assert await cluster.get(Greeter).hello(name) == await other.get(Greeter).hello(name)
""",
        0,
    )

    assert "3 passed" in printed


def test_a_fixture_of_the_tests_own_may_wrap_it(run):
    printed = run(
        """
import functools
import pytest

@pytest.fixture
def three(aether_cluster):
    return functools.partial(aether_cluster, Greeter, nodes=3)

async def test_it(three):
    cluster = await three()
    assert len(cluster.nodes) == 3
""",
        0,
    )

    assert "1 passed" in printed


def test_it_needs_no_other_plugin(run):
    without = [word for plugin in ("trio", "randomly", "timeout") for word in ("-p", f"no:{plugin}")]
    run("async def test_it(aether_cluster):\n    await aether_cluster(Greeter)\n", 0, "", *without)


def test_a_failing_test_shows_its_own_assertion(run):
    """Not three nested exception groups with the assertion somewhere inside."""
    printed = run(
        """
async def test_it(aether_cluster):
    cluster = await aether_cluster(Greeter)
    assert await cluster.get(Greeter).hello("ann") == "Hello, bob!"
""",
        1,
    )

    assert "AssertionError: assert 'Hello, ann!' == 'Hello, bob!'" in printed
    assert "ExceptionGroup" not in printed


def test_a_plain_test_is_told_to_be_async(run):
    printed = run(
        """
def test_it(aether_cluster):
    import asyncio
    trio.run(lambda: aether_cluster(Greeter))
""",
        1,
    )

    assert "works in `async def` tests only" in printed


def test_another_plugins_claim_is_named_with_the_way_out(run):
    """pytest-asyncio in auto mode takes every async test; its loop cannot run ours."""
    printed = run(
        "async def test_it(aether_cluster):\n    await aether_cluster(Greeter)\n",
        1,
        """
import inspect
import pytest

class Claimed(pytest.Function):
    pass

def pytest_pycollect_makeitem(collector, name, obj):
    if inspect.iscoroutinefunction(obj):
        return [Claimed.from_parent(collector, name=name)]
""",
    )

    assert "pytest.mark.trio" in printed


def test_the_plugin_imports_nothing_heavy():
    """Every pytest run of every project in that environment loads it."""
    heavy = ("trio", "httpx", "h11", "aether.cluster")
    code = f"import sys, aether.testing.pytest_plugin; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
