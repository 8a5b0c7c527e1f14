"""What the site makes of plain Markdown: navigation, captions, tables of states, links that leave the folder."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def conf():
    spec = importlib.util.spec_from_file_location("aether_docs_conf", DOCS / "conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(conf, page, text):
    source = [text]
    conf._read(None, page, source)
    return source[0]


def test_every_page_stands_in_the_navigation_once(conf):
    """Decisions stand below their own page; a part without pages would be an empty heading."""
    parts = dict(conf.navigation())
    pages = [page for pages in parts.values() for page in pages]
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}

    assert sorted(pages) == sorted(p for p in there if p != "index.md" and not p.startswith("design/decisions/0"))
    assert all(parts.values()), "a part without a page"
    assert "howto/keep-state.md" in parts["How to: slices"]
    assert "howto/drain.md" in parts["How to: nodes"]


def test_the_title_of_a_listing_becomes_its_caption(conf):
    made = read(conf, "howto/x", '```python title="a.py"\nx = 1\n```\n')
    assert made == "```{code-block} python\n:caption: a.py\n\nx = 1\n```\n"


def test_a_word_about_a_sketch_is_not_shown(conf):
    assert read(conf, "howto/x", '```python sketch="cut"\nx\n```\n') == "```python\nx\n```\n"


def test_a_diagram_of_states_becomes_a_table(conf):
    made = read(conf, "design/x", "```mermaid\nstateDiagram-v2\n    [*] --> A\n    A --> B\n    A --> [*]\n```\n")
    assert made.splitlines()[2:] == ["| start | `A` |", "| `A` | `B`, gone |"]


def test_a_link_out_of_the_folder_leads_to_the_repository(conf):
    made = read(conf, "howto/x", "[a](../../SECURITY.md#x) [b](../index.md) [c](../../examples/) [d](keep-state.md)")
    base = "https://github.com/aether-runtime/aether"
    assert (
        made
        == f"[a]({base}/blob/main/SECURITY.md#x) [b](../index.md) [c]({base}/tree/main/examples) [d](keep-state.md)"
    )


def test_parameters_of_a_docstring_become_terms(conf):
    lines = ["What it does.", "", "a    one", "     more of it", "b, c  two", "Raises BadInput."]
    conf._tabulate(None, "function", "f", None, None, lines)
    assert lines == ["What it does.", "", "`a`", "   one", "   more of it", "`b, c`", "   two", "", "Raises BadInput."]
