"""How commands end: a module of the user that does not import, a reader that went away, colours nobody wants."""

import json
import socket
import subprocess
import sys

import pytest
import trio

import aether
from aether.cli.applications import load_class, load_slices
from aether.cli.duty_commands import nodes
from aether.cli.main import run
from aether.cli.options import settings
from aether.cli.terminal import node_log
from aether.errors import BadInput, ContractError

COMMANDS = [
    "status", "health", "nodes", "slices", "routes", "blueprint list",
    "deploy a:b:1.0.0", "scale a:b -n 1", "undeploy a:b",
]  # fmt: skip


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of a name that no other test has imported; its name."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text):
        name = f"broken_{abs(hash(text)) % 10**9}"
        (tmp_path / f"{name}.py").write_text(text)
        return name, tmp_path

    return write


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n1 / 0\n", ".py:2: ZeroDivisionError"),
        ("def f(:\n", ".py:1: SyntaxError"),
        ("import sys\nsys.exit('no')\n", ".py:2: SystemExit: no"),
        ("import no_such_dependency\n", ".py:1: ModuleNotFoundError: No module named 'no_such_dependency'"),
        ("x = 1\n", "defines no slice"),
    ],
)
def test_a_module_that_does_not_import_is_named_with_the_line(module, text, says):
    """The mistake is in the user's file; forty lines of our frames would hide it."""
    name, folder = module(text)

    with pytest.raises(BadInput) as caught:
        load_slices([name], folder)

    assert name in str(caught.value)
    assert says in str(caught.value)


def test_a_class_that_is_not_there_is_told_from_one_that_is_no_slice(module):
    name, folder = module("class Plain: ...\n")

    for load in (lambda app: load_slices([app], folder), lambda app: load_class(app, folder)):
        with pytest.raises(BadInput, match=f"{name} has no Plian; did you mean Plain"):
            load(f"{name}:Plian")
        with pytest.raises(BadInput, match=r"no slice|neither"):
            load(f"{name}:Plain")


def test_a_broken_contract_is_said_in_its_own_words(module):
    name, folder = module("import aether\n\n@aether.slice\nclass A:\n    def plain(self) -> int:\n        return 1\n")

    with pytest.raises(ContractError, match="plain"):
        load_slices([name], folder)


@pytest.mark.parametrize("command", ["dev {}", "node --app {}", "slices --app {}", "blueprint init --app {}"])
def test_every_command_that_imports_an_application_says_it_without_a_traceback(module, command, capsys):
    name, folder = module("1 / 0\n")

    code = run([*command.format(name).split(), "--app-dir", str(folder)])

    printed = capsys.readouterr().err
    assert code == 2
    assert "ZeroDivisionError" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("command", ["dev {}", "node --app {}", "slices --app {}", "blueprint init --app {}"])
def test_the_file_instead_of_the_module_is_understood_and_said(module, command, capsys):
    """`python hello.py` is what people typed a minute before."""
    name, folder = module("x = 1\n")

    code = run([*command.format(f"{name}.py").split(), "--app-dir", str(folder)])

    assert code == 2
    assert f"write the module's name, {name}, without .py" in capsys.readouterr().err


def test_a_node_that_hangs_says_whom_else_to_ask(monkeypatch, capsys):
    """A stopped process still has its port: the kernel takes the connection, and nobody answers."""
    monkeypatch.setattr("aether.cli.connection.REQUEST_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        code = run(["status", "-c", address])

    assert code == 5
    first, hint = capsys.readouterr().err.splitlines()
    assert first == f"aether: {address} did not answer in time"
    assert "`aether nodes -c HOST:PORT` of another node" in hint


@pytest.mark.parametrize("output", ["table", "json", "jsonl"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_dead_port_is_exit_code_3_for_every_command(command, output, capsys):
    code = run([*command.split(), "-c", "127.0.0.1:1", "-o", output])

    printed = capsys.readouterr()
    assert code == 3
    assert printed.out == ""
    assert "127.0.0.1:1" in printed.err


def test_no_color_is_obeyed(monkeypatch):
    """https://no-color.org: users say it once for all programs."""
    lines = []
    log = node_log(["node-1"], lines.append)
    log("node-1", "x")
    monkeypatch.setenv("NO_COLOR", "1")
    log("node-1", "x")

    assert "\x1b[" in lines[0]
    assert lines[1] == "node-1 | x"


def test_no_color_reaches_the_tables(monkeypatch):
    context = nodes.make_context("nodes", [])

    assert settings(context).color
    monkeypatch.setenv("NO_COLOR", "1")
    assert not settings(context).color


def test_a_reader_that_left_is_no_error_message(module):
    """`aether slices | head -1` is an everyday line."""
    name, folder = module("import aether\n\n@aether.slice\nclass A:\n    async def f(self) -> int:\n        return 1\n")
    line = [sys.executable, "-m", "aether", "slices", "--app", name, "--app-dir", str(folder)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()

    assert process.wait(30) == 1
    with process.stderr as said:
        assert said.read() == b""


async def test_every_command_prints_what_scripts_can_read():
    """JSON is what the API answered, JSONL is one object per row, and a table has a heading."""

    @aether.slice(artifact="tests.cli:a:1.0.0")
    class A:
        @aether.get("/a")
        async def a(self) -> int:
            return 1

    looks = COMMANDS[:6]
    async with aether.Cluster.open(A, management=0) as cluster:
        at = cluster.addresses.management_address
        printed = {}

        async def ask(command, output):
            line = [sys.executable, "-m", "aether", "-c", at, "-o", output, *command.split()]
            printed[command, output] = (await trio.run_process(line, capture_stdout=True)).stdout.decode()

        for output in ("table", "json", "jsonl"):
            async with trio.open_nursery() as nursery:
                for command in looks:
                    nursery.start_soon(ask, command, output)

    for command in looks:
        assert json.loads(printed[command, "json"])
        assert all(isinstance(json.loads(line), dict) for line in printed[command, "jsonl"].splitlines())
        assert printed[command, "table"].splitlines()[0].isupper()
        assert "\x1b" not in printed[command, "table"]
