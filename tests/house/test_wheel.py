"""What is installed is what was tested: the wheel has every file that the package reads at run time."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.process
@pytest.mark.timeout(120)
def test_the_wheel_holds_the_pages_the_demo_and_the_types(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True, timeout=100,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*") if path.is_file()}

    assert {name for name in sources if "__pycache__" not in name} <= names
    assert {"aether/web/pages/docs.html", "aether/web/pages/page.js", "aether/web/pages/page.css"} <= names
    assert {"aether/management/pages/dashboard.html", "aether/management/pages/main.js"} <= names
    assert {"aether/forge/order_demo/orders.py", "aether/py.typed"} <= names
