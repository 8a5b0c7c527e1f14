"""The page of a cluster in a real browser, over three real processes."""

import contextlib

import httpx
import pytest
import trio
from tests.e2e.page_driver import open_page

from aether.forge.polling import until

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

LIVE = "document.body?.dataset.connection === 'live'"
FOUND_S = 60.0


def page_of(running, node):
    return f"http://127.0.0.1:{running.processes.ports[node].management}/dashboard"


def says(panel, *texts):
    """Whether a panel says all of them."""
    wanted = " && ".join(f"text.includes({text!r})" for text in texts)
    return f"(text => {wanted})(document.getElementById({panel!r}).innerText)"


async def call_on(running, *nodes):
    """Load, for as long as nobody cancels it."""
    number = 0
    while True:
        for node in nodes:
            number += 1
            with contextlib.suppress(httpx.HTTPError):
                await running.client.get(f"{running.http(node)}/echo/x{number}")
        await trio.sleep(0.05)


async def leader_of(running, *nodes):
    for node in nodes:
        with contextlib.suppress(httpx.HTTPError, AssertionError):
            if leader := (await running.console.get(node, "/status"))["leader"]:
                return leader
    return ""


async def test_the_page_shows_a_cluster_at_work_and_stays_when_its_leader_dies(open_cluster, tmp_path, chromium):
    async with open_cluster() as running, trio.open_nursery() as nursery:
        await running.ready()
        await running.deploy("e2e:echo:1.0.0", 3)
        leader = await leader_of(running, "node-1")
        others = sorted(set(running.processes.ports) - {leader})
        nursery.start_soon(call_on, running, *others)
        async with open_page(chromium, tmp_path / "profile") as page:
            await page.screen(width=1280, height=900, dark=False)
            await page.open(page_of(running, others[0]))
            await page.until(LIVE, FOUND_S)

            await page.until(says("nodes-in", "node-1", "node-2", "node-3", "★ leader", "on duty"), FOUND_S)
            await page.until(says("slices-in", "e2e:echo:1.0.0", "3 of 3", "● active"), FOUND_S)
            await page.until(says("calls-in", "echo"), FOUND_S)
            await page.until(says("routes-in", "/echo/{text}"), FOUND_S)
            await page.until(says("events-in", "deployment completed"), FOUND_S)
            await page.until("document.querySelectorAll('#history-in path.curve').length > 3", FOUND_S)
            assert await page.text("alerts-in")
            assert f"{leader} leads" in str(
                await page.run("document.querySelector('#topology-in svg').getAttribute('aria-label')")
            )
            assert "e2e:echo:1.0.0" in await page.text("slices-in")

            await page.run("document.querySelector('[data-why]').click()")
            await page.until(says("why-in", "blueprint 'adhoc' wants 3"), FOUND_S)
            await page.key("Escape")
            assert await page.run("document.getElementById('why').open") is False
            assert page.said == []

            await running.processes.kill(leader)
            await page.until(says("nodes-in", "unreachable"), FOUND_S)
            seconds = await until(lambda: leader_of(running, *others), FOUND_S, "another leads")
            await page.until(says("summary", "2 of 3", seconds), FOUND_S)
            assert await page.run(LIVE)
            await page.until(says("topology-in", "✕"), FOUND_S)
            assert [line for line in page.said if "exception" in line] == []
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)])
async def test_it_is_readable_in_the_dark_and_on_a_telephone(open_cluster, tmp_path, chromium, dark, width):
    async with open_cluster(nodes=1) as running:
        await running.ready("node-1")
        async with open_page(chromium, tmp_path / "profile") as page:
            await page.screen(width=width, height=844, dark=dark)
            await page.open(page_of(running, "node-1"))
            await page.until(LIVE, FOUND_S)
            await page.until(says("nodes-in", "node-1"))
            assert await page.run("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"
            assert await brightness(page, "backgroundColor") < 60 if dark else await brightness(page, "color") < 60
            assert abs(await brightness(page, "color") - await brightness(page, "backgroundColor")) > 150

            chosen = "light" if dark else "dark"  # the switch goes before the system
            await page.run(f"theme.value = '{chosen}', theme.dispatchEvent(new Event('change'))")
            assert (await brightness(page, "backgroundColor") < 60) is not dark
            assert page.said == []


async def brightness(page, name):
    """0 to 255, of a colour of the body."""
    return await page.run(
        f"getComputedStyle(document.body).{name}.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 3"
    )


async def test_the_keyboard_alone_reaches_everything_in_the_order_of_the_page(open_cluster, tmp_path, chromium):
    async with open_cluster(nodes=1) as running:
        await running.ready("node-1")
        await running.deploy("e2e:echo:1.0.0", 1)
        async with open_page(chromium, tmp_path / "profile") as page:
            await page.screen(width=1280, height=900, dark=False)
            await page.open(page_of(running, "node-1"))
            await page.until(LIVE, FOUND_S)
            await page.until(says("slices-in", "1 of 1"), FOUND_S)
            seen = []
            for _ in range(45):
                await page.key("Tab")
                seen.append(
                    await page.run(
                        "(e => e.id || e.name || e.dataset.range || e.dataset.why || e.getAttribute('href') || "
                        "e.getAttribute('aria-label') || e.tagName)(document.activeElement)"
                    )
                )
                outline = "getComputedStyle(document.activeElement).outlineStyle"
                assert seen[-1] == "BODY" or await page.run(outline) == "solid", "it can be seen where one is"
            wanted = [
                "#nodes",
                "theme",
                "sign-in",
                "#topology",
                "Nodes",
                "Slices",
                "e2e:echo:1.0.0",
                "SUMMARY",
                "5m",
                "severity",
            ]
            places = [seen.index(each) for each in wanted]
            assert places == sorted(places)
            assert seen[0] == "#nodes", "the first is the way past the links"
            assert {"Events", "Routes", "request"} <= set(seen)

            before = await page.run("(document.querySelector('[data-why]').focus(), summary.innerText)")
            await page.until(f"summary.innerText !== {before!r}")
            assert await page.run("document.activeElement.dataset.why"), "what is drawn anew keeps the focus"
            await page.key("Enter")
            await page.until(says("why-in", "wants 1"), FOUND_S)


async def test_a_page_from_elsewhere_asks_for_a_token_and_forgets_it_with_the_tab(open_cluster, tmp_path, chromium):
    """On loopback nobody is asked; a wrong token is a stranger's wherever it comes from."""
    async with open_cluster(nodes=1) as running:
        await running.ready("node-1")
        async with open_page(chromium, tmp_path / "profile") as page:
            await page.open(page_of(running, "node-1"))
            await page.until(LIVE, FOUND_S)
            await page.run("sessionStorage.setItem('aether.token', 'wrong'), location.reload()")
            await page.until("document.getElementById('login')?.open === true", FOUND_S)
            assert "a token is needed" in await page.text("connection")

            await page.run("document.querySelector('[name=token]').focus()")
            await page.type(running.token("node-1"))
            await page.key("Enter")
            await page.until(LIVE, FOUND_S)
            assert await page.run("document.querySelector('[name=token]').value") == ""
            assert await page.run("JSON.stringify(localStorage)") == "{}"

            await page.run(
                "document.querySelector('#alerts details').open = true,"
                "['cpu.usage', 0.71, 0.93].forEach((value, at) => document.forms.threshold.elements[at].value = value),"
                "document.forms.threshold.requestSubmit()"
            )
            await page.until(says("threshold-said", "cpu.usage is set"), FOUND_S)
            await page.until("document.querySelector('#thresholds-in').textContent.includes('0.93')", FOUND_S)
