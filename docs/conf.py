"""The site: Sphinx over the plain Markdown of this folder, which any other reader of Markdown shows as well.

Nothing in a page is written for Sphinx. What it needs to know is read from the pages: the navigation from the links of
`index.md`, captions from the titles of listings. A link that leaves this folder leads to the repository.
"""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_REPOSITORY = _PROJECT["urls"]["Documentation"].removesuffix("/docs")

project = "aether"
author = _PROJECT["authors"][0]["name"]
project_copyright = author
release = version = _PROJECT["version"]
extensions = ["myst_parser", "sphinx.ext.autodoc"]
suppress_warnings = ["misc.highlighting_failure"]  # sketches of signatures are shown as they are
root_doc = "index"
html_theme = "furo"
html_title = f"aether {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "source_repository": _REPOSITORY.partition("/tree/")[0],
    "source_branch": "main",
    "source_directory": "docs/",
    "top_of_page_buttons": ["view"],
}
myst_heading_anchors = 4
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
smartquotes = False  # in code, a quote is a quote
default_role = "code"
python_use_unqualified_type_names = True
add_module_names = False
maximum_signature_line_length = 100
pygments_style = "friendly"

# What the left side shows: the folders, in this order; in each, the pages in the order of their first link in index.md.
PARTS = {
    "Tutorial": "tutorial/",
    "Choose": "",
    "How to: slices": "howto/",
    "How to: nodes": "howto/",
    "Operations": "operations/",
    "Reference": "reference/",
    "Design": "design/",
    "Contributing": "contributing/",
}
_LINK = re.compile(r"\]\(([\w/.-]+\.md)\)")
_OUTSIDE = re.compile(r"(\]\()((?:\.\./)+[\w./-]*)((?:#[\w-]+)?\))")
_FENCE = re.compile(r'^```(\w+) title="([^"]+)".*\n((?:(?!```).*\n)*)```', re.M)
_MARKED = re.compile(r"^```(\w+) \w+=.*$", re.M)
_STATES = re.compile(r"^```mermaid\nstateDiagram-v2\n((?:(?!```).*\n)*)```", re.M)


def navigation() -> Iterator[tuple[str, list[str]]]:
    """Each part and its pages. Of how-to pages, those that index.md names under "Operators" are about nodes."""
    text = (DOCS / "index.md").read_text()
    ours, operators = text.partition("## Operators")[::2]
    ours += operators.partition("\n## ")[2]
    order = list(dict.fromkeys(_LINK.findall(text)))
    slices = set(_LINK.findall(ours))
    for part, folder in PARTS.items():
        pages = [page for page in order if page.rpartition("/")[0].split("/")[0] == folder.rstrip("/")]
        if folder == "howto/":
            pages = [page for page in pages if (page in slices) == part.endswith("slices")]
        yield part, pages


def _toctrees() -> str:
    return "".join(
        "\n```{toctree}\n:hidden:\n:caption: " + part + "\n\n" + "\n".join(pages) + "\n```\n"
        for part, pages in navigation()
    )


def _transitions(match: re.Match[str]) -> str:
    """A diagram of states as a table, which needs no program that draws."""
    steps: dict[str, list[str]] = {}
    for line in match[1].splitlines():
        before, _, after = line.strip().partition(" --> ")
        steps.setdefault(before, []).append(after)
    names = {"[*]": ""}
    rows = (
        f"| {names.get(state, f'`{state}`') or 'start'} "
        f"| {', '.join(names.get(n, f'`{n}`') or 'gone' for n in after)} |"
        for state, after in steps.items()
    )
    return "| state | may become |\n|---|---|\n" + "\n".join(rows)


def _leave(page: Path, match: re.Match[str]) -> str:
    """A relative link; when it leads out of this folder, to where the repository shows that file."""
    target = (page.parent / match[2]).resolve()
    if target.is_relative_to(DOCS) or not target.is_relative_to(ROOT):
        return match[0]
    kind = "tree" if target.is_dir() else "blob"
    base = _REPOSITORY.replace("/tree/", f"/{kind}/")
    return f"{match[1]}{base}/{target.relative_to(ROOT).as_posix()}{match[3]}"


def _public() -> str:
    """Directives that show the docstring of every public name."""
    import aether
    from aether import asyncio_host, testing

    said = []
    for module, names in (
        (aether, [*aether.__all__, "slice", "map"]),
        (testing, testing.__all__),
        (asyncio_host, asyncio_host.__all__),
    ):
        kinds: dict[str, list[str]] = {"Classes": [], "Functions": [], "Errors": []}
        for name in sorted(names, key=str.lower):
            value = getattr(module, name)
            if inspect.isclass(value):
                kinds["Errors" if issubclass(value, Exception) else "Classes"].append(name)
            elif not inspect.ismodule(value):
                kinds["Functions"].append(name)
        said.append(f"\n## {module.__name__}\n")
        for kind, members in kinds.items():
            directive = "autofunction" if kind == "Functions" else "autoclass"
            options = "" if kind == "Functions" else "\n   :members:\n   :exclude-members: __init__, __new__"
            protocol = "\n   :undoc-members:"
            body = "\n\n".join(
                f".. {directive}:: {module.__name__}.{name}{options}"
                + protocol * getattr(getattr(module, name), "_is_protocol", False)
                for name in members
            )
            if members:
                said.append(f"\n### {kind} of {module.__name__}\n\n```{{eval-rst}}\n{body}\n```\n")
    return "".join(said)


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    page = DOCS / f"{docname}.md"
    text = source[0]
    if docname == "index":
        text += _toctrees()
    if docname == "design/decisions/index":
        text += "\n```{toctree}\n" + "\n".join(sorted(path.name for path in page.parent.glob("0*.md"))) + "\n```\n"
    if docname == "reference/docstrings":
        text += _public()
    text = _STATES.sub(_transitions, text)
    text = _FENCE.sub(r"```{code-block} \1\n:caption: \2\n\n\3```", text)
    text = _MARKED.sub(r"```\1", text)
    source[0] = _OUTSIDE.sub(lambda match: _leave(page, match), text)


def _tabulate(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Docstrings list parameters as `name  meaning`, one below the other; here each becomes a term with its meaning."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    lines[:] = "\n\n".join(map(directed, paragraphs)).splitlines()


def directed(paragraph: str) -> str:
    """A paragraph of a docstring, spelt for Sphinx."""
    if re.match(r"[\w, *]*\w {2,}\S", paragraph):
        return terms(paragraph)
    if all(line.startswith("    ") for line in paragraph.splitlines()) and paragraph.strip():
        return f".. code-block:: python\n\n{paragraph}"
    return paragraph


def terms(paragraph: str) -> str:
    """A paragraph of `name  meaning` as definitions; sentences below them are a paragraph of their own."""
    said: list[str] = []
    lines = paragraph.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        term, gap, meaning = re.sub(r" {2,}", "\0", line, count=1).partition("\0")
        if line.startswith(" "):
            said.append(f"   {line.strip()}")
        elif gap:
            said += [f"`{term}`", f"   {meaning}"]
        elif following.startswith(" "):
            said.append(f"`{line}`")
        else:
            said += ["", line]
    return "\n".join(said)


def _without_constructor(app: Sphinx, what: str, name: str, value: object, *_: object) -> tuple[str, str] | None:
    return ("", "") if what == "class" and getattr(value, "_is_protocol", False) else None


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", _read)
    app.connect("autodoc-process-docstring", _tabulate)
    app.connect("autodoc-process-signature", _without_constructor)
    return {"parallel_read_safe": True}


sys.path.insert(0, str(ROOT / "src"))
