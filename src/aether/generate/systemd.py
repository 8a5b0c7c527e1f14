"""A unit for each machine: started when it is ready, drained when it stops, watched meanwhile.

Knows: systemd.service(5), systemd.exec(5); where files lie on a machine.
Never: other supervisors.
Holds: `systemctl restart` returns when the node takes requests again, so machines can be restarted one after the other;
       the process sees of its machine what it needs, and writes to its own state alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from aether.errors import BadInput
from aether.generate.setup import CLUSTER_PORT, HTTP_PORT, MANAGEMENT_PORT, File, Setup
from aether.generate.words import Toml, made, readme, toml_text

TARGET = "systemd"
WATCHDOG_S = 30
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def files(setup: Setup) -> tuple[File, ...]:
    """The unit, settings for each machine, a script that installs them, and with TLS one that makes certificates."""
    found = [
        File(f"{setup.name}.service", unit_text(setup)),
        *(File(f"{node}.toml", settings_text(setup, node)) for node in machines(setup)),
        File("install.sh", install_text(setup), is_script=True),
        File("README.md", readme_text(setup)),
    ]
    if _speaks_tls(setup):
        found.append(File("certificates.sh", certificates_text(setup), is_script=True))
    return tuple(found)


def machines(setup: Setup) -> Mapping[str, str]:
    """Node -> the address of its machine. Raises BadInput: loopback beside other machines."""
    hosts = setup.hosts or LOOPBACK[:1]
    if len(hosts) > 1 and set(hosts) & set(LOOPBACK):
        raise BadInput("nothing is generated", ("--host: no other machine reaches a loopback address",))
    return {f"node-{number}": host for number, host in enumerate(hosts, 1)}


def _speaks_tls(setup: Setup) -> bool:
    """A node that only its own machine reaches needs no certificates."""
    return setup.tls and not set(machines(setup).values()) <= set(LOOPBACK)


def steps(setup: Setup) -> tuple[str, ...]:
    """What to do with the files."""
    venv, name = setup.program.rsplit("/", 2)[0], setup.name
    node = "NODE, `node-1` on the first" if len(machines(setup)) > 1 else "`node-1`"
    wheel = "./aether_runtime-VERSION-py3-none-any.whl[tls]"
    found = [f"On each machine: `python3 -m venv {venv}`, `{venv}/bin/pip install '{wheel}'`, then your slices."]
    if _speaks_tls(setup):
        found.append("Here: `./certificates.sh` makes `authority/`, to be kept safe, and `tls/NODE` for each machine.")
        found.append("Copy this directory, without `authority/` and the `tls/` of others, to each machine.")
    else:
        found.append("Copy this directory to each machine.")
    found += [
        f"On each machine, as root: `./install.sh` with the name {node}.",
        f"`systemctl enable --now --no-block {name}`. Of several machines the first one waits for a majority.",
        f"As root: `XDG_STATE_HOME=/run/{name} {setup.program} nodes`: all ON_DUTY.",
        f"Later, one machine after the other: `systemctl restart {name}`; it returns when the node is ready.",
    ]
    return tuple(found)


def readme_text(setup: Setup) -> str:
    more = "The pages of aether tell the rest: operations/containers.md, operations/upgrade.md."
    if not setup.tls and set(machines(setup).values()) - set(LOOPBACK):
        more = (
            "WITHOUT TLS: whoever reaches these machines can change the cluster. Let a firewall admit to ports "
            f"{MANAGEMENT_PORT} and {CLUSTER_PORT} only the machines of the cluster.\n\n" + more
        )
    return readme(f"{setup.name} under systemd", TARGET, steps(setup), more)


def settings_text(setup: Setup, node: str) -> str:
    """aether.toml of one machine."""
    hosts = machines(setup)
    founders = list(hosts)[: _founders(len(hosts))]
    of_node: dict[str, Toml] = {
        "id": node,
        "bind": hosts[node],
        "data_dir": f"/var/lib/{setup.name}/data",
        "drain_s": setup.drain_s,
    }
    cluster: dict[str, Toml] = {"name": setup.name}
    if len(hosts) > 1 and node in founders:
        cluster["peers"] = [f"{each}:{hosts[each]}:{CLUSTER_PORT}" for each in founders]
    elif len(hosts) > 1:
        cluster["join"] = [f"{hosts[each]}:{CLUSTER_PORT}" for each in founders]
    ports: dict[str, Toml] = {"cluster": CLUSTER_PORT, "http": HTTP_PORT, "management": MANAGEMENT_PORT}
    tls: dict[str, Toml] = {}
    if _speaks_tls(setup):
        tls["dir"] = f"/var/lib/{setup.name}/tls"
        tls |= {"plain_http": True} if setup.plain_http else {}
        if node == next(iter(hosts)):
            tls["ca_key"] = f"/var/lib/{setup.name}/authority/ca.key"
    return made(TARGET) + toml_text({"node": of_node, "cluster": cluster, "ports": ports, "tls": tls})


def _founders(count: int) -> int:
    return Setup(nodes=count).founders


def unit_text(setup: Setup) -> str:
    name = setup.name
    words = [setup.program, "node", "--config", f"/etc/{name}/aether.toml"]
    words += [word for app in setup.apps for word in ("--app", app)]
    words += [] if setup.tls or set(machines(setup).values()) <= set(LOOPBACK) else ["--insecure"]
    return f"""\
{made(TARGET)}\
[Unit]
Description=A node of the aether cluster {name}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={" ".join(words)}
User={name}
Group={name}
UMask=0077
StateDirectory={name}
StateDirectoryMode=0700
RuntimeDirectory={name}
RuntimeDirectoryMode=0700
WorkingDirectory=/var/lib/{name}
Environment=XDG_STATE_HOME=/run/{name} PYTHONUNBUFFERED=1

# Ready when it has caught up: the first of several machines waits for a majority, however long that takes.
TimeoutStartSec=infinity
# SIGTERM drains the node itself; its worker processes end with it. It asks for more time while it drains.
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec={setup.stop_s}
# The loop says that it runs, twice in this time.
WatchdogSec={WATCHDOG_S}
Restart=on-failure
RestartSec=2
# A command line that cannot be right, and a node that was removed from its cluster: to start again is no use.
RestartPreventExitStatus=2 4
LimitNOFILE=65536

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""


def certificates_text(setup: Setup) -> str:
    """Runs where the operator is."""
    issued = "".join(f"issue {node} {host}\n" for node, host in machines(setup).items())
    return f"""\
#!/bin/sh
{made(TARGET)}\
# The authority of the cluster, once; a certificate for each machine that has none. Nodes renew theirs.
set -eu
cd "$(dirname "$0")"
umask 077

issue() {{ # node, address
  [ -e "tls/$1/node.pem" ] && return
  rm -f "tls/$1/node.key" # of a run that was cut off
  aether ca issue "$1" --host "$2" --out "tls/$1" --ca-dir authority
}}

[ -e authority/ca.key ] || aether ca init --cluster {setup.name} --ca-dir authority
{issued}\
# The first machine signs what the others ask it to renew.
cp authority/ca.key tls/node-1/authority.key
"""


def install_text(setup: Setup) -> str:
    """Runs on a machine, as root. ROOT  another place than /, for images"""
    name = setup.name
    certificates = f"""
if [ ! -e "$state/tls/node.pem" ]; then
  install -d -m 0700 -o {name} -g {name} "$state/tls"
  for file in node.key node.pem ca.pem; do
    install -m 0600 -o {name} -g {name} "tls/$node/$file" "$state/tls/$file"
  done
fi
if [ -e "tls/$node/authority.key" ]; then
  install -d -m 0700 -o {name} -g {name} "$state/authority"
  install -m 0600 -o {name} -g {name} "tls/$node/authority.key" "$state/authority/ca.key"
fi
"""
    return f"""\
#!/bin/sh
{made(TARGET)}\
# On one machine, as root: ./install.sh node-1. After a change again: it replaces unit and settings, the state stays.
set -eu
cd "$(dirname "$0")"
node=${{1:?say which: ./install.sh node-1}}
[ -e "$node.toml" ] || {{ echo "there is no $node.toml here" >&2; exit 2; }}
state=/var/lib/{name}

getent passwd {name} > /dev/null || useradd --system --user-group --home-dir "$state" --shell /usr/sbin/nologin {name}
install -d -m 0700 -o {name} -g {name} "$state"
install -d -m 0755 /etc/{name}
install -m 0640 -o root -g {name} "$node.toml" /etc/{name}/aether.toml
{certificates if _speaks_tls(setup) else ""}\
install -m 0644 {name}.service /etc/systemd/system/{name}.service
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
echo "installed; now: systemctl enable --now --no-block {name}"
"""
