"""Trees for real: what worker processes make of them, and instances of two versions beside each other on one node."""

import logging
import os
import sys
from collections.abc import AsyncIterator

import psutil
import pytest
import trio
from worker_slices import ListPricing, OutOfStock, Till

import aether
from aether.deployment.slice_store import ClassStore, ComposedStore, route_row
from aether.errors import ContractError, NotFound
from aether.hosting import worker_describing
from aether.hosting.directory_store import DirectoryStore
from aether.hosting.trees import scan_trees
from aether.hosting.worker_describing import describe_tree
from aether.invocation.acceptance import Accepting
from aether.invocation.reply import Done, Faulted, Form
from aether.model.artifact import Artifact
from aether.slice_api.described import DescribedSlice
from aether.testing.trees import shop_tree, write_tree
from aether.work import BareThreadWork

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

HEAD = 'import aether\n\n\n@aether.slice(artifact="t:thing:1.0.0")\nclass Thing:\n    async def say(self) -> str:\n'
GARBAGE = """import os
for n in range(3, 1_000):
    try:
        os.write(n, bytes([0, 0, 0, 3, 97, 98, 99]))
    except OSError:
        pass
"""
GOOD = HEAD + '        return "hello"\n'


@pytest.fixture
def root(tmp_path):
    found = tmp_path / "slices"
    found.mkdir()
    return found


async def described(root, base=None):
    """What each artifact of `root` was described as."""
    found = {}
    with trio.fail_after(60.0):
        for tree in scan_trees(root):
            assert tree.problem == ""
            found |= await describe_tree(tree, sys.path if base is None else base)
    return {str(artifact): what for artifact, what in found.items()}


async def problem(root):
    (said,) = (await described(root)).values()
    assert isinstance(said, str), said
    return said


async def test_a_good_tree_is_described_and_its_process_is_gone(root):
    shop_tree(root, "1.1.0")
    found = (await described(root))["e2e:shop:1.1.0"]

    assert isinstance(found, DescribedSlice)
    assert {"price", "stock", "version"} <= found.methods.keys()
    assert ("GET", "/shop/stock/{sku}") in {(route.verb, route.template) for route in found.routes}
    assert "shop" not in sys.modules
    assert not [child for child in psutil.Process().children() if "describe" in " ".join(child.cmdline())]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import aether\ndef broken(:\n", "SyntaxError"),
        ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
        ("raise RuntimeError('not today')\n", "RuntimeError: not today"),
        ("raise SystemExit(3)\n", "SystemExit"),
        ("import os\nos._exit(7)\n", "exited with status 7"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "SIGKILL"),
        ("x = bytearray(2**40)\n", "MemoryError"),
        ("Thing = 3\n", "no class Thing"),
        (GOOD.replace("t:thing:1.0.0", "t:thing:2.0.0"), "t:thing:2.0.0"),
        (GOOD.replace("-> str", "-> object"), "object"),
        (GOOD.replace("@aether.slice", "# aether.slice"), "no slice"),
        (GARBAGE, ""),
    ],
)  # fmt: skip
async def test_a_tree_that_cannot_be_described_says_why(root, code, said):
    write_tree(root, "t:thing:1.0.0", code, slice_="thing:Thing")

    assert said in await problem(root)


FLAWED = """class Odd(BaseException):
    def __str__(self):
        raise RuntimeError("no")
raise Odd
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (FLAWED, "Odd: (its message cannot be read)"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("raise ValueError('half \\udcff')\n", "ValueError: half"),
    ],
)
async def test_an_import_that_raises_what_can_hardly_be_told_leaves_the_other_slices(root, code, said):
    more = '\n[[slices]]\nartifact = "t:odd:1.0.0"\nslice = "odd:Odd"'
    write_tree(root, "t:thing:1.0.0", {"thing.py": GOOD, "odd.py": code}, extra=more)
    found = await described(root)

    assert isinstance(found["t:thing:1.0.0"], DescribedSlice)
    assert said in found["t:odd:1.0.0"]


LEFT = """import os, subprocess, threading
threading.Thread(target=threading.Event().wait, args=(100,)).start()
subprocess.Popen(["sleep", "101"])
if os.fork() == 0:
    threading.Event().wait(102)
    os._exit(0)
"""


async def test_what_an_import_leaves_running_is_not_waited_for_and_ended(root):
    write_tree(root, "t:thing:1.0.0", LEFT + f"open({str(root / '.group')!r}, 'w').write(str(os.getpgid(0)))\n" + GOOD)
    found = await described(root)

    assert isinstance(found["t:thing:1.0.0"], DescribedSlice)
    group = int((root / ".group").read_text())
    assert group != os.getpgid(0)
    with trio.fail_after(10.0):
        while any(_group(each) == group for each in psutil.process_iter() if each.is_running()):
            await trio.lowlevel.checkpoint()


def _group(process):
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getpgid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None


async def test_bytes_that_no_worker_says_are_a_problem_of_the_tree(root):
    code = GARBAGE.replace("bytes([0, 0, 0, 3, 97, 98, 99])", "bytes([255]) * 100_000") + GOOD
    write_tree(root, "t:thing:1.0.0", code)

    assert "frame" in await problem(root)


async def test_an_import_that_hangs_is_ended(root, monkeypatch):
    monkeypatch.setattr(worker_describing, "TREE_DESCRIBE_S", 3.0)
    write_tree(root, "t:thing:1.0.0", "import threading\nthreading.Event().wait()\n", slice_="thing:Thing")

    assert "took more than 3 s" in await problem(root)


async def test_one_bad_slice_of_a_tree_leaves_the_others(root):
    files = {"thing.py": GOOD, "other.py": GOOD.replace("thing", "other").replace("Thing", "Other")}
    more = {"t:other:1.0.0": "other:Other", "t:no:1.0.0": "no:No"}
    extra = "".join(f'\n[[slices]]\nartifact = "{name}"\nslice = "{cls}"' for name, cls in more.items())
    write_tree(root, "t:thing:1.0.0", files, extra=extra)
    found = await described(root)

    assert isinstance(found["t:thing:1.0.0"], DescribedSlice)
    assert isinstance(found["t:other:1.0.0"], DescribedSlice)
    assert "no" in found["t:no:1.0.0"]


async def test_what_an_import_prints_and_logs_disturbs_nothing(root, caplog, capfd):
    code = "import logging, sys\nprint('hello')\nsys.stdout.flush()\nlogging.getLogger('shop').warning('odd')\n" + GOOD
    write_tree(root, "t:thing:1.0.0", code)
    with caplog.at_level(logging.INFO):
        found = await described(root)

    assert isinstance(found["t:thing:1.0.0"], DescribedSlice)
    assert any(record.message == "odd" for record in caplog.records)


async def test_the_tree_comes_before_the_environment_on_the_search_path(root, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "prices.py").write_text("PRICE = 'base'\n")
    (tmp_path / "base" / "taxes.py").write_text("TAX = 'base'\n")
    code = "import prices, taxes\nassert (prices.PRICE, taxes.TAX) == ('tree', 'base')\n" + GOOD
    write_tree(
        root, "t:thing:1.0.0", {"thing.py": code, "lib/prices.py": "PRICE = 'tree'\n"}, extra='path = [".", "lib"]'
    )

    assert isinstance((await described(root, [str(tmp_path / "base"), *sys.path]))["t:thing:1.0.0"], DescribedSlice)


async def test_secrets_of_the_node_are_not_in_the_environment_of_a_tree(root, monkeypatch):
    monkeypatch.setenv("AETHER_TOKEN", "t0ken")
    write_tree(root, "t:thing:1.0.0", "import os\nassert 'AETHER_TOKEN' not in os.environ\n" + GOOD)

    assert isinstance((await described(root))["t:thing:1.0.0"], DescribedSlice)


# --- instances --------------------------------------------------------------------------------------------------------


async def told(home, instance, method, **arguments):
    reply = await home.hosting.find(instance).serve(method, arguments, Form.WIRE, trio.CancelScope())
    assert isinstance(reply, Done), reply
    return reply.payload


async def test_two_versions_of_one_module_run_side_by_side_on_one_node(root, home_of):
    for version in ("1.0.0", "1.1.0"):
        shop_tree(root, version)
    store = DirectoryStore(root, BareThreadWork(1), base=sys.path, wall=lambda: 1e12)
    with trio.fail_after(90.0):
        await store.rescan()
        async with home_of() as home:
            for artifact in store.available():
                home.classes.classes[artifact] = await store.load(artifact)
            one, two = [await home.start(await home.desire(artifact)) for artifact in store.available()]
            assert await told(home, one, "version") == "1.0.0"
            assert await told(home, two, "version") == "1.1.0"
            assert await told(home, one, "price", sku="x") == 100
            assert await told(home, two, "price", sku="x", pieces=3) == 270
            pids = {await told(home, each, "pid") for each in (one, two)}
            assert len(pids | {os.getpid()}) == 3


async def test_imported_slices_depend_on_those_of_trees_and_the_other_way_round(home_of):
    """Till asks for a Protocol, which ListPricing names as its base; a Fault keeps its class over the border."""
    for till, pricing in ((None, "tree"), ("tree", None), ("tree", "tree")):
        with trio.fail_after(60.0):
            async with home_of() as home:
                await home.deploy(ListPricing, host=pricing)
                await home.deploy(Till, host=till)
                assert await home.get(Till).total("x", 3) == 15
                with pytest.raises(OutOfStock):
                    await home.get(Till).total("none", 1)


async def test_a_one_way_call_that_does_not_fit_is_refused_before_it_is_accepted(home_of):
    """The types are known to the worker alone, and nobody would hear of it afterwards."""
    accepted = []
    with trio.fail_after(60.0):
        async with home_of() as home:
            instance = home.hosting.find(await home.deploy(ListPricing, host="tree"))
            for arguments in ({"sku": 3}, {"sku": "x"}):
                around = Accepting(lambda: accepted.append(1), None, "ListPricing.quote")
                reply = await instance.serve("quote", arguments, Form.WIRE, trio.CancelScope(), around)
                if not accepted:
                    assert isinstance(reply, Faulted)
                    assert "sku" in reply.fault.detail
    assert accepted == [1]
    assert isinstance(reply, Done)


async def test_a_described_slice_cannot_live_in_its_node(home_of):
    """host="node" of a blueprint was said of the version that is imported; another one lives apart whatever it says."""
    with trio.fail_after(60.0):
        async with home_of() as home:
            await home.classes.describe(ListPricing)
            instance = await home.start(await home.desire(ListPricing, host="node"))
            assert home.hosting.find(instance).pid != os.getpid()

            home.hosting._hosts = {"node": home.hosting._hosts["node"], "process": home.hosting._hosts["node"]}
            with pytest.raises(ContractError, match="not imported here"):
                await home.start(await home.desire(ListPricing))


async def test_of_an_imported_class_and_a_tree_of_one_artifact_the_class_wins(root):
    shop_tree(root, "1.0.0")
    directory = DirectoryStore(root, BareThreadWork(1), base=sys.path, wall=lambda: 1e12)
    await directory.rescan()

    @aether.slice(artifact="e2e:shop:1.0.0")
    class Shop:
        async def ticks(self) -> AsyncIterator[int]:
            yield 1

    artifact = Artifact.parse("e2e:shop:1.0.0")
    assert await ComposedStore(ClassStore([Shop]), directory).load(artifact) is Shop
    store = ComposedStore(ClassStore([ListPricing]), directory)
    assert store.available() == (artifact, Artifact.parse("shop:list-pricing:1.0.0"))
    row = await route_row(store, artifact)
    assert "/shop/price/{sku}" in row.openapi
    assert {route.template for route in row.routes} >= {"/shop/price/{sku}", "/shop/version"}
    with pytest.raises(NotFound, match="this process has"):
        await store.load(Artifact.parse("e2e:shop:9.9.9"))
