"""The tutorial and the README's first listing are typed in and run as they stand, so that they cannot rot."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import httpx
import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial" / "index.md").read_text()
README = (ROOT / "README.md").read_text()
ANSWER_S = 30.0
HEALED_S = 20.0

process = [pytest.mark.process, pytest.mark.timeout(120)]


def listings(text):
    """(title, body) of every Python listing with a title."""
    return re.findall(r'^```python title="([^"]+)"\n(.*?)^```', text, flags=re.M | re.S)


@attrs.frozen
class Line:
    """One typed line of a console listing and what the page says it prints."""

    command: str
    prints: str

    @property
    def words(self):
        return shlex.split(self.command)


def console(text):
    """Every typed line, in order."""
    found = []
    for body in re.findall(r"^```console\n(.*?)^```", text, flags=re.M | re.S):
        for part in re.split(r"^\$ ", body, flags=re.M)[1:]:
            command, _, prints = part.partition("\n")
            found.append(Line(command, prints.strip()))
    return found


def section(text, heading):
    """The part of a page below the heading that begins with `heading`."""
    return next(part for part in re.split(r"^## ", text, flags=re.M) if part.startswith(heading))


def curl(words):
    """Do what a `curl` line does."""
    assert words[0] == "curl"
    verb, headers, body, url = "GET", {}, None, ""
    rest = iter(words[1:])
    for word in rest:
        match word:
            case "-X":
                verb = next(rest)
            case "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            case "-d":
                body = next(rest)
            case _:
                assert word.startswith("http://"), f"this curl knows no {word}"
                url = word
    with httpx.Client(trust_env=False, timeout=ANSWER_S) as client:
        return client.request(verb, url, headers=headers, content=body)


SHOP_ALONE, SHOP, TESTS = (body for _, body in listings(TUTORIAL))


def any_ports(script):
    """The script as the tutorial says to change it where ports are taken."""
    changed = re.sub(r"aether\.run\((\w+)\)", r"aether.run(\1, http=0, management=0)", script)
    assert changed != script
    return changed


def of_its_own(program):
    """What it printed, without the warning that the machine had no time for it."""
    return [line for line in program.printed if not re.search(r"the loop was \S+ s late", line)]


def write_shop(folder):
    (folder / "shop.py").write_text(SHOP)
    (folder / "test_shop.py").write_text(TESTS)


def test_the_page_has_the_listings_that_are_run_here():
    assert [title for title, _ in listings(TUTORIAL)] == ["shop.py", "shop.py", "test_shop.py"]


@pytest.mark.parametrize(
    ("text", "script", "heading"),
    [
        pytest.param(TUTORIAL, SHOP_ALONE, "2. One slice", marks=process, id="tutorial"),
        pytest.param(README, listings(README)[0][1], "", marks=process, id="readme"),
    ],
)
def test_the_first_script_answers_the_first_curl_and_ends_by_ctrl_c(text, script, heading, start, tmp_path):
    """The first minute decides whether there is a second."""
    asked = next(line for line in console(section(text, heading) if heading else text) if line.words[0] == "curl")
    (tmp_path / "first.py").write_text(any_ports(script))

    program = start("first.py")
    url = program.wait_for(r"^aether node-1  http (\S+)  management http://")[1]
    answer = curl([word.replace("http://127.0.0.1:8081", url) for word in asked.words])

    assert (answer.status_code, answer.text) == (200, asked.prints)
    assert program.interrupt() == 130
    assert len(of_its_own(program)) == 1


@pytest.mark.process
@pytest.mark.timeout(120)
def test_a_value_of_the_wrong_type_is_answered_as_the_tutorial_says(start, tmp_path):
    (tmp_path / "shop.py").write_text(any_ports(SHOP_ALONE))
    status = int(re.search(r"`\?quantity=many` is answered with (\d+)", TUTORIAL)[1])

    url = start("shop.py").wait_for(r"  http (\S+)")[1]
    answer = curl(["curl", f"{url}/prices/tea?quantity=many"])

    assert answer.status_code == status
    assert "query.quantity" in answer.json()["detail"]


@pytest.mark.process
@pytest.mark.timeout(120)
def test_a_script_whose_port_is_taken_says_so_in_one_line(start, tmp_path):
    """A traceback would hide the only thing that the reader must change."""
    (tmp_path / "shop.py").write_text(any_ports(SHOP_ALONE))
    port = start("shop.py").wait_for(r"  http http://127.0.0.1:(\d+)")[1]
    (tmp_path / "again.py").write_text(any_ports(SHOP_ALONE).replace("http=0", f"http={port}"))

    second = start("again.py")

    assert second.process.wait(ANSWER_S) == 1
    said = second.wait_for(f"127.0.0.1:{port}").string
    assert "http=0" in said
    assert of_its_own(second) == [said]


@pytest.mark.process
@pytest.mark.timeout(120)
def test_the_tests_of_the_tutorial_pass(tmp_path):
    write_shop(tmp_path)
    expected = next(line for line in console(TUTORIAL) if line.command == "pytest -q").prints

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", expected)[0] in done.stdout


def table(lines):
    """Node, HTTP port, management port and process number, as `aether dev` prints them."""
    found = [re.match(r"(node-\d+)  http://127.0.0.1:(\d+)  http://127.0.0.1:(\d+)  (\d+)$", line) for line in lines]
    return {row[1]: row.groups()[1:] for row in found if row}


@pytest.mark.process
@pytest.mark.timeout(120)
def test_the_first_listing_of_the_readme_grows_to_three_nodes(start, tmp_path):
    """Any of them answers, whichever runs the instance."""
    grow = next(line for line in console(README) if line.words[:2] == ["aether", "dev"])
    asked = next(line for line in console(README) if line.words[0] == "curl")
    (tmp_path / "hello.py").write_text(listings(README)[0][1])

    program = start("-m", *grow.words)
    program.wait_for("^Ctrl-C ends all of them")
    ports = [row[0] for row in table(program.printed).values()]
    answers = [curl([word.replace("8081", port) for word in asked.words]).text for port in ports]

    assert answers == [asked.prints] * 3
    assert program.interrupt() == 130


@pytest.mark.process
@pytest.mark.timeout(120)
def test_three_nodes_do_what_the_tutorial_types(start, aether, tmp_path):
    """Every line of section 5, in its order, with the ports and numbers of this run."""
    part = section(TUTORIAL, "5. Three nodes")
    first, *lines = console(part)
    assert first.command == "aether dev shop --nodes 3"
    write_shop(tmp_path)
    program = start("-m", *first.words)
    program.wait_for("^Ctrl-C ends all of them")
    shown, real = table(part.splitlines()), table(program.printed)
    assert real.keys() == shown.keys()
    mine = dict(zip((n for row in shown.values() for n in row), (n for row in real.values() for n in row), strict=True))

    for line in lines:
        words = shlex.split(re.sub(r"\b\d{4,5}\b", lambda number: mine[number[0]], line.command))
        if words[0] == "curl":
            answer = curl(words)
            assert (answer.status_code, answer.text) == (200, line.prints), line
            if "-X" in words:
                order = words
        elif words[0] == "aether":
            printed = aether("-c", f"127.0.0.1:{mine['8080']}", *words[1:])
            assert printed.split()[:3] == line.prints.split()[:3] or not line.prints
        else:
            assert words[:2] == ["kill", "-9"]
            again, refused = curl(order), curl(order)
            assert (again.status_code, refused.status_code) == (200, 409)
            assert '"sku":"tea","left":2' in refused.text
            os.kill(int(words[2]), signal.SIGKILL)

    until = time.monotonic() + HEALED_S
    while (printed := aether("-c", f"127.0.0.1:{mine['8080']}", *words[1:])).count("ACTIVE") < 4 or "node-3" in printed:
        assert time.monotonic() < until, printed
    program.wait_for("node-3 ended with exit code -9; still running: node-1, node-2")
    assert program.interrupt() == 130


@pytest.mark.process
@pytest.mark.timeout(120)
def test_a_blueprint_and_what_was_sold_outlive_the_node(start, aether, tmp_path):
    """Section 6, on free ports: init, node, apply, order, stop, start, ask."""
    init, cat, _, apply, order = console(section(TUTORIAL, "6. Blueprints"))
    write_shop(tmp_path)
    text = aether(*init.words[1:4], init.words[4])
    assert text.strip() == cat.prints
    (tmp_path / "blueprint.toml").write_text(text)
    node = ["-m", "aether", "node", "--app", "shop", "--port", "0", "--http-port", "0", "--management-port", "0"]

    program = start(*node)
    url, management = program.wait_for(r"  http http://(\S+)  management http://(\S+)").groups()
    program.wait_for("node-1 is ready")
    printed = aether("-c", management, *apply.words[1:])
    assert printed.split()[:7] == apply.prints.split()[:7]
    answer = curl([word.replace("127.0.0.1:8081", url) for word in order.words])
    assert (answer.status_code, answer.text) == (200, order.prints)
    assert program.interrupt() == 130

    program = start(*node)
    url = program.wait_for(r"  http (http://\S+)  management")[1]
    until = time.monotonic() + HEALED_S
    while (answer := curl(["curl", f"{url}/sold/tea"])).status_code == 503 and time.monotonic() < until:
        pass  # its slices are starting
    assert answer.text == "4"
