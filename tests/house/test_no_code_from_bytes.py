"""Nothing that is received can become code: no call in the package turns bytes or text into something that runs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "aether"
MODULES = sorted(SRC.rglob("*.py"))
MODULES_BANNED = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "yaml",
    "jsonpickle",
    "joblib",
    "pty",
}
CALLS_BANNED = {
    *("eval", "exec", "compile", "__import__", "execfile", "breakpoint"),
    *("os.system", "os.popen", "os.execl", "os.execlp", "os.execv", "os.execve", "os.execvp", "os.spawnl", "os.spawnv"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "code.interact", "runpy.run_path", "runpy.run_module"),
    *("tempfile.mktemp", "xml.etree.ElementTree.parse", "logging.config.listen"),
}
ALLOWED = {
    ("slice_api/generate.py", "exec"): "methods of a proxy, whose names and signature a contract was checked for",
    ("slice_api/generate.py", "compile"): "the same",
}
"""What is generated from the package's own text, and why that is none of a stranger's."""


def dangers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) of everything in `tree` that may run what it is given."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in MODULES_BANNED)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES_BANNED:
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func).removeprefix("builtins.")
            if called in CALLS_BANNED:
                yield node.lineno, called
            for word in node.keywords:
                if word.arg == "shell" and not (isinstance(word.value, ast.Constant) and word.value.value is False):
                    yield node.lineno, "shell"
                if word.arg is None and called.startswith("subprocess."):
                    yield node.lineno, f"{called}(**...) may hide a shell"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_module_runs_nothing_that_it_is_given(path):
    found = [
        f"line {line}: {what}"
        for line, what in dangers(ast.parse(path.read_text()))
        if (str(path.relative_to(SRC)), what) not in ALLOWED
    ]

    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from marshal import loads",
        "import yaml.loader",
        "eval(x)",
        "builtins.exec(x)",
        "compile(x, '', 'exec')",
        "os.system(x)",
        "subprocess.run(x, shell=True)",
        "trio.run_process(x, shell=flag)",
        "subprocess.Popen(x, **options)",
        "__import__(x)",
    ],
)
def test_the_gate_sees_what_it_is_for(text):
    """A gate that lets everything through looks like one that has nothing to do."""
    assert list(dangers(ast.parse(text)))


@pytest.mark.parametrize("text", ["re.compile(x)", "self.eval(x)", "subprocess.run([x], shell=False)", "json.loads(x)"])
def test_the_gate_lets_harmless_namesakes_pass(text):
    assert not list(dangers(ast.parse(text)))


def test_every_exception_is_still_needed():
    stale = {
        (name, what)
        for name, what in ALLOWED
        if what not in {found for _, found in dangers(ast.parse((SRC / name).read_text()))}
    }

    assert not stale
