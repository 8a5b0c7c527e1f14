"""Scripts for this machine: nodes on loopback, started, looked at, stopped.

Knows: a POSIX shell.
Never: anything but loopback.
Holds: a node is told by the process id that it was started with *and* by its command line, so none but ours is stopped.
"""

from __future__ import annotations

from aether.generate.setup import CLUSTER_PORT, HTTP_PORT, MANAGEMENT_PORT, File, Setup
from aether.generate.words import made, readme

TARGET = "local"
PORTS_APART = 100
_READY_S = 60


def files(setup: Setup) -> tuple[File, ...]:
    return (
        File("nodes.sh", nodes_text(setup)),
        File("start.sh", start_text(), is_script=True),
        File("status.sh", status_text(), is_script=True),
        File("stop.sh", stop_text(setup), is_script=True),
        File("README.md", readme(f"{setup.name} on this machine", TARGET, steps(setup))),
    )


def steps(setup: Setup) -> tuple[str, ...]:
    """What to do with the files."""
    return (
        f"`./start.sh`: {setup.nodes} nodes, state in `data/`, output in `log/`. It returns when they are ready.",
        "`./status.sh`",
        f"Deploy: `aether blueprint apply blueprint.toml`. Routes: http://127.0.0.1:{HTTP_PORT}",
        "`./stop.sh` drains them, the last one first. The state stays.",
    )


def nodes_text(setup: Setup) -> str:
    """What the other scripts read: which nodes, how each is called."""
    founders = range(1, setup.founders + 1)
    peers = ",".join(f"node-{n}:127.0.0.1:{CLUSTER_PORT + n - 1}" for n in founders)
    contacts = ",".join(f"127.0.0.1:{CLUSTER_PORT + n - 1}" for n in founders)
    apps = " ".join(f"--app {app}" for app in setup.apps)
    return f"""\
{made(TARGET)}\
numbers="{" ".join(str(number) for number in range(1, setup.nodes + 1))}"
: "${{AETHER:=aether}}" # the command

management_port() {{ echo $(({MANAGEMENT_PORT} + {PORTS_APART} * ($1 - 1))); }}

# The process of node-$1, when it runs.
process_of() {{
  pid=$(cat "run/node-$1.pid" 2> /dev/null) || return 1
  case " $(ps -o args= -p "$pid" 2> /dev/null) " in *" --node-id node-$1 "*) echo "$pid" ;; *) return 1 ;; esac
}}

# Whether the process that was started as node-$1 lives; it may not have its own command line yet.
lives() {{ case "$(ps -o stat= -p "$(cat "run/node-$1.pid")")" in "" | Z*) return 1 ;; esac; }}

start_node() {{
  if [ "$1" -le {setup.founders} ]; then group="--peers {peers}"; else group="--join {contacts}"; fi
  # shellcheck disable=SC2086 # $group is two words
  nohup "$AETHER" node --node-id "node-$1" --cluster {setup.name} $group \\
    --port $(({CLUSTER_PORT} + $1 - 1)) --http-port $(({HTTP_PORT} + {PORTS_APART} * ($1 - 1))) \\
    --management-port "$(management_port "$1")" --data-dir "data/node-$1" {apps} >> "log/node-$1.log" 2>&1 &
  echo $! > "run/node-$1.pid"
}}
"""


def _script(purpose: str, body: str) -> str:
    return f"""\
#!/bin/sh
{made(TARGET)}\
# {purpose}
set -eu
cd "$(dirname "$0")"
. ./nodes.sh
{body}"""


def start_text() -> str:
    return _script(
        "Starts what does not run, and returns when all nodes are ready.",
        f"""\
mkdir -p data log run
for number in $numbers; do process_of "$number" > /dev/null || start_node "$number"; done
for number in $numbers; do
  tries={_READY_S}
  until "$AETHER" -c "127.0.0.1:$(management_port "$number")" health > /dev/null 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ] || ! lives "$number"; then
      echo "node-$number is not ready; the end of log/node-$number.log:" >&2
      tail -n 5 "log/node-$number.log" >&2
      exit 1
    fi
    sleep 1
  done
done
./status.sh
""",
    )


def status_text() -> str:
    return _script(
        "What the first node that runs says of all of them.",
        """\
for number in $numbers; do
  if process_of "$number" > /dev/null; then exec "$AETHER" -c "127.0.0.1:$(management_port "$number")" nodes; fi
done
echo "no node runs; ./start.sh" >&2
exit 3
""",
    )


def stop_text(setup: Setup) -> str:
    return _script(
        "Drains the nodes, the last one first; what does not end in time is killed.",
        f"""\
for number in $(echo "$numbers" | tr ' ' '\\n' | sort -rn); do
  pid=$(process_of "$number") || continue
  kill -TERM "$pid"
  tries={setup.stop_s} # seconds: a drain, and what follows it
  while process_of "$number" > /dev/null; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || {{ echo "node-$number does not end; killing it" >&2; kill -KILL "$pid"; break; }}
    sleep 1
  done
  rm -f "run/node-$number.pid"
  echo "node-$number is down"
done
""",
    )
