"""Nobody is told to install a stranger's package: on PyPI the name of this distribution belongs to another project."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TYPED = re.compile(r"(pip|uv|pipx|poetry) [^\n&;]*\b(install|add)\b[^\n&;]*[\"' ]aether(-runtime)?\b(?![/.])")


def test_no_page_and_no_message_installs_by_name():
    """From a clone or a wheel only, until the name on the index is ours. Then this test goes."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")]
    told = {path.name: found[0] for path in files if (found := TYPED.search(path.read_text()))}

    assert told == {}


def test_the_gate_sees_what_it_is_for():
    assert TYPED.search("$ pip install aether-runtime")
    assert TYPED.search("pip install 'aether-runtime[tls]'")
    assert TYPED.search('uv add "aether-runtime[cli]" pytest')
    assert not TYPED.search('pip install "../aether[cli]" pytest')
    assert not TYPED.search("do not install `aether-runtime` from there")
