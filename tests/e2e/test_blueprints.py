"""Blueprints by command line alone, on three processes: plan, apply, change a version, look and go back, delete."""

import json
import sys

import pytest
import trio

from aether.testing.trees import shop_tree

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

SHOP = """id = "shop"

[[slices]]                       # the shop; "e2e:shop:1.0.0" is the first one
artifact = "e2e:shop:1.0.0"
instances = 2
"""
BROKEN = (
    'id = "shop"\n[[slices]]\nartifact = "e2e:shop:1.0.0"\ninstances = 1\n[[slices]]\nartifact = "e2e:broken:1.0.0"\n'
)
ATOMIC = '[deployment]\nmode = "atomic"\ntimeout = 60\n'


async def aether(*arguments, code=0, text=None):
    """Run the command and check its exit code; all it printed."""
    command = [sys.executable, "-m", "aether", *arguments]
    done = await trio.run_process(
        command,
        stdin=(text or "").encode(),
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == code, said
    return said


@pytest.fixture
def open_shop(open_cluster, tmp_path):
    slices = tmp_path / "slices"
    slices.mkdir()
    for version in ("1.0.0", "1.1.0"):
        shop_tree(slices, version)
    return lambda: open_cluster(app="e2e_app", arguments=("--slices", str(slices)))


async def test_the_whole_story_of_a_blueprint_by_the_command_line(open_shop, tmp_path):
    file = tmp_path / "shop.toml"
    file.write_text(SHOP)
    async with open_shop() as running:
        await running.ready()
        await running.offered("e2e:shop:1.0.0", "e2e:shop:1.1.0", by="node-2")
        at = ("-c", running.connect("node-2"))

        assert "valid: blueprint shop, 1 slices" in await aether("blueprint", "validate", str(file))
        planned = await aether("blueprint", "plan", str(file), "--detailed-exitcode", *at, code=2)
        assert "create" in planned
        assert "1 to create, 0 to change, 0 to delete" in planned
        await aether("blueprint", "apply", str(file), "--wait", *at)
        assert "nothing to do" in await aether("blueprint", "plan", str(file), "--detailed-exitcode", *at)

        await aether("scale", "e2e:shop", "-n", "3", "--reason", "sale", "--wait", *at)
        assert "3 instances" in await aether("blueprint", "plan", str(file), *at)
        await aether("blueprint", "apply", str(file), "--wait", *at)

        file.write_text(SHOP.replace('artifact = "e2e:shop:1.0.0"', 'artifact = "e2e:shop:1.1.0"'))
        planned = await aether("blueprint", "plan", str(file), *at)
        assert "1.0.0 -> 1.1.0" in planned
        assert "rolling" in planned
        await aether("blueprint", "apply", str(file), "--wait", "120", *at)
        answer = await running.client.get(f"{running.http('node-1')}/shop/version")
        assert answer.json() == "1.1.0"
        old = tmp_path / "old.toml"
        old.write_text(SHOP)
        refused = await aether("blueprint", "apply", str(old), *at, code=4)
        assert "the text says 1.0.0" in refused
        assert "has brought 1.1.0 since" in refused

        await aether("blueprint", "rollback", "shop", "--wait", "120", *at)
        answer = await running.client.get(f"{running.http('node-3')}/shop/version")
        assert answer.json() == "1.0.0"
        history = json.loads(await aether("blueprint", "history", "shop", "-o", "json", *at))
        assert [row["number"] for row in history["history"]] == [3, 2, 1]
        assert history["history"][0]["reason"] == "back to 1"
        assert await aether("blueprint", "show", "shop", *at) == SHOP

        await aether("blueprint", "delete", "shop", "--wait", *at)
        assert "ACTIVE" not in await aether("slices", *at)
        assert "see /blueprints" in await aether("blueprint", "show", "shop", *at, code=1)


async def test_an_atomic_apply_that_fails_goes_back_and_bad_input_is_named(open_shop, tmp_path):
    async with open_shop() as running:
        await running.ready()
        await running.offered("e2e:shop:1.0.0")
        at = ("-c", running.connect("node-1"))
        await aether("blueprint", "apply", "-", "--wait", *at, text=SHOP)

        said = await aether("blueprint", "apply", "-", "--wait", "60", *at, text=BROKEN + ATOMIC, code=1)
        assert "number 2 was taken back: e2e:broken:1.0.0 FAILED again" in said
        assert "the broken slice cannot start" in await aether("blueprint", "history", "shop", *at)
        assert await aether("blueprint", "show", "shop", *at) == SHOP

        unknown = SHOP.replace("e2e:shop:1.0.0", "e2e:shap:1.0.0")
        assert "did you mean e2e:shop" in await aether("blueprint", "plan", "-", *at, text=unknown, code=1)
        version = SHOP.replace('= "e2e:shop:1.0.0"', '= "e2e:shop:9.0.0"')
        assert "members offer only version" in await aether("blueprint", "apply", "-", *at, text=version, code=1)
        rival = SHOP.replace('id = "shop"', 'id = "rival"')
        assert "blueprint 'shop' owns it" in await aether("blueprint", "apply", "-", *at, text=rival, code=4)
        assert "line 1, column 6" in await aether("blueprint", "validate", "-", text="id = \n", code=2)
        late = await aether("blueprint", "apply", "-", "--if-number", "1", *at, text=SHOP + "# 2\n", code=4)
        assert "number 3 by the leader" in late
        assert "aether blueprint list" in await aether("blueprint", "delete", "nobody", *at, code=1)
        assert "kept are 3, 2, 1" in await aether("blueprint", "rollback", "shop", "--to", "9", *at, code=1)
