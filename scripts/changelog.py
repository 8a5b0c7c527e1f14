"""The changelog out of its fragments: `python scripts/changelog.py` prints the section of this version.

`--write YYYY-MM-DD` puts it into CHANGELOG.md below `## Unreleased`, and removes the fragments. The version is that of
pyproject.toml, the only place that says it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNRELEASED = "## Unreleased\n\nSee `changelog.d/`.\n"


def fragments(folder: Path) -> dict[str, str]:
    """Name -> text, in the order of their numbers. Raises ValueError: one is empty, or has no number."""
    found = {path.name: path.read_text() for path in sorted(folder.glob("*.md"))}
    for name, text in found.items():
        if not re.match(r"\d{4}-", name) or not text.strip():
            raise ValueError(f"changelog.d/{name}: call it NNNN-what.md, and say in it what changed")
    return found


def section(version: str, date: str, texts: Iterable[str]) -> str:
    """Each fragment is a point of the list; what it has of lines, lists and listings stays below its point."""
    points = "".join("- " + textwrap.indent(text.strip(), "  ").removeprefix("  ") + "\n" for text in texts)
    return f"## {version} ({date})\n\n{points}"


def released(changelog: str) -> list[str]:
    """The versions that have a section, the newest first."""
    return re.findall(r"^## (\d\S*) \(", changelog, re.M)


def with_section(changelog: str, text: str) -> str:
    """`changelog` with `text` as its newest section. Raises ValueError: it is there, or nothing says where."""
    (version,) = released(text)
    if version in released(changelog):
        raise ValueError(f"CHANGELOG.md has a section {version} already; set the next version in pyproject.toml")
    if UNRELEASED not in changelog:
        raise ValueError("CHANGELOG.md has no part `## Unreleased` that points to changelog.d/")
    return changelog.replace(UNRELEASED, f"{UNRELEASED}\n{text}", 1)


def project_version() -> str:
    project: Mapping[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="The changelog out of its fragments.")
    parser.add_argument("--write", metavar="YYYY-MM-DD", type=dt.date.fromisoformat, help="the day of the release")
    given = parser.parse_args(arguments)
    found = fragments(ROOT / "changelog.d")
    if not found:
        print("changelog.d has no fragments: nothing has changed", file=sys.stderr)
        return 1
    day = given.write or dt.datetime.now(tz=dt.UTC).date()
    text = section(project_version(), day.isoformat(), found.values())
    if given.write is None:
        print(text, end="")
        return 0
    path = ROOT / "CHANGELOG.md"
    path.write_text(with_section(path.read_text(), text))
    for name in found:
        (ROOT / "changelog.d" / name).unlink()
    print(f"CHANGELOG.md has {len(found)} points of {project_version()}; look at them, then commit")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ValueError as error:
        sys.exit(str(error))
