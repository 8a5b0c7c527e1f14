"""The API page in a real browser: every operation is drawn, nothing is refused by the page's own policy."""

import re

import pytest
import trio

import aether

DRAWN_S = 60.0

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


class Full(aether.Fault):
    """No room is left."""

    status = 409
    room: str


@aether.slice(artifact="test.page:hotel:1.0.0")
class Hotel:
    """Rooms <script>alert(1)</script>."""

    @aether.get("/rooms/{room}")
    async def look(self, room: str, nights: int = 1) -> list[str]:
        """Look at a room."""
        return [room] * nights

    @aether.post("/rooms/{room}/guests")
    async def book(self, room: str, guest: str, beds: list[int]) -> int:
        raise Full(room=room)


async def test_the_page_shows_every_operation_and_opens_the_one_that_is_linked_to(tmp_path, chromium):
    async with aether.Cluster.open(Hotel, http=0) as cluster:
        with trio.fail_after(DRAWN_S):
            done = await trio.run_process(
                [
                    chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
                    "--enable-logging=stderr", "--virtual-time-budget=8000", "--dump-dom",
                    f"{cluster.http_url}/docs#Hotel.book",
                ],
                capture_stdout=True, capture_stderr=True,
            )  # fmt: skip
    page, said = done.stdout.decode(), done.stderr.decode()

    assert re.findall(r'class="path">([^<]+)<', page) == ["/rooms/{room}", "/rooms/{room}/guests"]
    assert "2 operations" in page
    assert re.search(r'<details class="operation" id="Hotel\.book"[^>]* open', page)
    assert not re.search(r'<details class="operation" id="Hotel\.look"[^>]* open', page)
    assert "Rooms &lt;script&gt;" in page  # texts are texts
    assert '"beds": [' in page
    assert "<td>Full</td>" in page
    assert not re.findall(r"CONSOLE.*(?:Content Security Policy|Uncaught).*", said)
