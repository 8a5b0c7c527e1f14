"""The page on HTTP: its listings are one example, which runs as a reader would run it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "http.md").read_text()


@pytest.mark.process
@pytest.mark.timeout(120)
def test_the_listings_are_an_example_that_passes(tmp_path):
    listings = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', PAGE, flags=re.M | re.S)
    for name, body in listings:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(body)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"],
        cwd=tmp_path, text=True, capture_output=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
