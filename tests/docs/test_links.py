"""Every link and every file that a document names exists; every page is on the map; how-to listings run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
HOWTO = sorted((DOCS / "howto").glob("*.md"))
LINK = re.compile(r"(?<!\!)\[[^\]\n]+\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(r"`((?:docs|src|tests|examples|benchmarks|changelog\.d)/[\w./-]*)`")
SCREEN_LINES = 110


def name(page):
    return page.relative_to(ROOT).as_posix()


def prose(page):
    """The page without its listings."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page):
    return [link for link in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{name(page)}: {link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_picture_is_there_and_says_what_it_shows(page):
    for said, path in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", prose(page)):
        assert len(said.split()) >= 2, f"{name(page)}: {path}: who cannot see it must know what it shows"
        assert (page.parent / path).exists(), f"{name(page)}: {path}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_is_named_exists(page):
    assert [path for path in NAMED_FILE.findall(page.read_text()) if not (ROOT / path).exists()] == []


def test_every_page_is_on_the_map():
    """A page that nobody finds is not written."""
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "index.md")}
    decisions = set((DOCS / "design" / "decisions").glob("0*.md"))  # the site lists them below their own page

    assert [name(p) for p in DOCS.rglob("*.md") if p not in linked | decisions | {DOCS / "index.md"}] == []
    assert DOCS / "design" / "decisions" / "index.md" in linked


def test_the_readme_shows_the_example():
    listing = re.search(r'^```python title="hello.py"\n(.*?)^```', (ROOT / "README.md").read_text(), re.M | re.S)[1]

    assert listing == (ROOT / "examples" / "hello_slice" / "hello.py").read_text()


@pytest.mark.parametrize("page", HOWTO, ids=name)
def test_a_how_to_page_is_short(page):
    assert len(page.read_text().splitlines()) <= SCREEN_LINES


def listings(page):
    return dict(re.findall(r'^```python title="([^"]+)"\n(.*?)^```', page.read_text(), flags=re.M | re.S))


def test_how_to_pages_have_listings():
    assert len([page for page in HOWTO if listings(page)]) >= 3


@pytest.mark.process
@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", [page for page in HOWTO if listings(page)], ids=name)
def test_the_listings_of_a_how_to_page_run(page, tmp_path):
    """Modules and their tests, side by side in one folder, with nothing configured; without tests they are scripts."""
    found = listings(page)
    for title, body in found.items():
        (tmp_path / title).write_text(body)
    if not any(title.startswith("test_") for title in found):
        for title in found:
            subprocess.run([sys.executable, title], cwd=tmp_path, check=True, timeout=100)
        return

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
