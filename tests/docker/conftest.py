"""The Dockerfiles, read as far as the tests ask."""

import json
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"


def instructions(name):
    """(instruction, the rest) of each line of a Dockerfile, continued lines joined, comments left out."""
    text = re.sub(r"\\\n\s*", "", (DOCKER / name / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


def last_stage(name):
    found = instructions(name)
    return found[max(n for n, (word, _) in enumerate(found) if word == "FROM") :]


def words(name, instruction):
    """Of an instruction in exec form. Fails when it is in shell form: a shell would stand between node and signals."""
    (rest,) = [rest for word, rest in last_stage(name) if word == instruction]
    return json.loads(rest[rest.index("[") :])


def environment(name):
    """What ENV of the last stage sets."""
    return dict(each.split("=", 1) for word, rest in last_stage(name) if word == "ENV" for each in shlex.split(rest))
