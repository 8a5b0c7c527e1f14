"""The public names, the headings of the API reference, and what can be imported are one list."""

import builtins
import re
import subprocess
import sys
from pathlib import Path

import aether

PAGE = (Path(__file__).parents[2] / "docs/reference/api.md").read_text()
SHADOWING = {"slice", "map"}


def headings() -> list[str]:
    return re.findall(r"^### (\S+)$", PAGE, re.MULTILINE)


def test_the_reference_has_one_heading_per_public_name():
    """A name without documentation is not public; a heading without a name is a broken promise."""
    assert sorted(headings()) == sorted({*aether.__all__, *SHADOWING})


def test_every_public_name_can_be_imported_and_says_what_it_is():
    for name in (*aether.__all__, *SHADOWING):
        assert getattr(aether, name).__doc__, name


def test_names_that_shadow_builtins_are_not_imported_by_a_star():
    """`from aether import *` must not replace `slice` and `map`."""
    assert not set(aether.__all__) & set(dir(builtins))
    assert aether.__all__ == sorted(set(aether.__all__), key=lambda n: (n[0].islower(), n))
    assert callable(aether.slice)
    assert callable(aether.map)


def test_the_reference_names_everything_that_tests_may_import():
    import aether.testing

    table = PAGE.partition("## Testing\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)", table, re.MULTILINE))

    assert named == set(aether.testing.__all__)
    assert all(getattr(aether.testing, name).__doc__ for name in named)


def test_links_inside_the_page_lead_somewhere():
    anchors = {
        re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= anchors


def test_importing_aether_does_not_import_the_runtime():
    """A slice and its unit tests need neither trio nor HTTP; `import aether` stays quick."""
    code = "import aether, sys; print(sorted({m.split('.')[0] for m in sys.modules} & {'trio', 'httpx', 'h11', 'ssl'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout.strip() == "[]"
