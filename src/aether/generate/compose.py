"""Containers on one machine: a compose file, and what makes certificates on the first start.

Knows: the compose specification, the paths of the image `aether-node`.
Never: which engine reads it.
Holds: ports are published on loopback alone; nodes run without root, without capabilities, on a read-only root.
"""

from __future__ import annotations

from collections.abc import Mapping

from aether.generate.setup import CLUSTER_PORT, HTTP_PORT, MANAGEMENT_PORT, USER, File, Setup
from aether.generate.words import Toml, made, readme, toml_text
from aether.generate.yaml import Noted, yaml_text

TARGET = "docker"
_PORTS_APART = 100
_SETTINGS = "/etc/aether/aether.toml"


def files(setup: Setup) -> tuple[File, ...]:
    """The compose file, the settings of all nodes, a README, and with TLS the script that makes certificates."""
    found = [
        File("docker-compose.yml", compose_text(setup)),
        File("aether.toml", settings_text(setup)),
        File("README.md", readme_text(setup)),
    ]
    if setup.tls:
        found.append(File("certificates.sh", certificates_text(setup), is_script=True))
    return tuple(found)


def node_name(number: int) -> str:
    return f"node-{number}"


def steps(setup: Setup) -> tuple[str, ...]:
    """What to do with the files."""
    container = node_name(1)
    return (
        f"Have the image `{setup.image}`: that of aether, or your own with your slices on top of it.",
        "`docker compose up -d`" + (": the first start makes an authority and certificates." if setup.tls else "."),
        f"`docker compose exec {container} aether nodes`: all ON_DUTY.",
        f"Deploy: `docker compose exec -T {container} aether blueprint apply - < blueprint.toml`",
    )


def readme_text(setup: Setup) -> str:
    scheme = "https" if setup.tls and not setup.plain_http else "http"
    more = [f"Routes of slices: {scheme}://127.0.0.1:{HTTP_PORT}, and {_PORTS_APART} further for each next node."]
    if setup.tls:
        more.append("The authority is in the volume `authority`: whoever has it can be any node.")
        more.append(f"For clients outside: `docker compose cp {node_name(1)}:/var/lib/aether/tls/ca.pem .`")
    else:
        more.append("WITHOUT TLS: whoever reaches the network of these containers can change the cluster.")
    return readme(f"{setup.name} in containers", TARGET, steps(setup), "\n\n".join(more))


def compose_text(setup: Setup) -> str:
    services: dict[str, object] = {}
    if setup.tls:
        services["certificates"] = _certificates(setup)
    for number in range(1, setup.nodes + 1):
        services[node_name(number)] = _node(setup, number)
    volumes: dict[str, object] = {node_name(number): {} for number in range(1, setup.nodes + 1)}
    if setup.tls:
        volumes = {"authority": {}, **volumes}
    return made(TARGET) + yaml_text({"name": setup.name, "services": services, "volumes": volumes})


def settings_text(setup: Setup) -> str:
    """What all nodes share; [config] and [labels] of yours belong here too."""
    node: dict[str, Toml] = {
        "bind": "0.0.0.0",  # noqa: S104 - written, not bound
        "data_dir": "/var/lib/aether/data",
        "drain_s": setup.drain_s,
    }
    tls: dict[str, Toml] = {"dir": "/var/lib/aether/tls"} if setup.tls else {}
    tls |= {"plain_http": True} if setup.plain_http else {}
    return made(TARGET) + toml_text({"node": node, "cluster": {"name": setup.name}, "tls": tls})


def _node(setup: Setup, number: int) -> Mapping[str, object]:
    name, apart = node_name(number), _PORTS_APART * (number - 1)
    command = ["node", "--config", _SETTINGS, *(word for app in setup.apps for word in ("--app", app))]
    service: dict[str, object] = {
        "image": setup.image,
        "command": command if setup.tls else [*command, "--insecure"],
        "hostname": name,
        "environment": _environment(setup, number),
        "ports": Noted(
            "For this machine alone. The cluster port stays among the containers.",
            [
                f"127.0.0.1:{HTTP_PORT + apart}:{HTTP_PORT}",
                f"127.0.0.1:{MANAGEMENT_PORT + apart}:{MANAGEMENT_PORT}",
            ],
        ),
        "volumes": _volumes(setup, number),
        "restart": "unless-stopped",
        "stop_grace_period": Noted("A drain, and what follows it.", f"{setup.stop_s}s"),
        "read_only": True,
        "tmpfs": ["/tmp:mode=1777,size=64m"],  # noqa: S108 - of the container
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }
    if setup.tls:
        service["depends_on"] = {"certificates": {"condition": "service_completed_successfully"}}
    return service


def _environment(setup: Setup, number: int) -> Mapping[str, str]:
    founders = range(1, setup.founders + 1)
    found = {"AETHER_NODE_ID": node_name(number), "AETHER_ADVERTISE": node_name(number)}
    if number in founders:
        found["AETHER_PEERS"] = ",".join(f"{node_name(n)}:{node_name(n)}:{CLUSTER_PORT}" for n in founders)
    else:
        found["AETHER_JOIN"] = ",".join(f"{node_name(n)}:{CLUSTER_PORT}" for n in founders)
    if setup.tls and number == 1:
        found["AETHER_CA_KEY"] = "/authority/ca.key"
    return found


def _volumes(setup: Setup, number: int) -> list[str]:
    own = [f"{node_name(number)}:/var/lib/aether", f"./aether.toml:{_SETTINGS}:ro"]
    return [*own, "authority:/authority:ro"] if setup.tls and number == 1 else own


def _certificates(setup: Setup) -> Mapping[str, object]:
    return {
        "image": setup.image,
        "user": Noted("Once at each start, without a network: it gives volumes to the user of the nodes.", "0:0"),
        "entrypoint": ["/bin/sh", "/certificates.sh"],
        "network_mode": "none",
        "healthcheck": {"disable": True},
        "volumes": [
            "./certificates.sh:/certificates.sh:ro",
            "authority:/authority",
            *(f"{node_name(number)}:/nodes/{node_name(number)}" for number in range(1, setup.nodes + 1)),
        ],
        "read_only": True,
        "tmpfs": ["/tmp:mode=1777,size=16m"],  # noqa: S108 - of the container
        "cap_drop": ["ALL"],
        "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER"],
        "security_opt": ["no-new-privileges:true"],
    }


def certificates_text(setup: Setup) -> str:
    """Makes what is missing, and signs anew what is there: a cluster that stood for months starts all the same."""
    names = " ".join(node_name(number) for number in range(1, setup.nodes + 1))
    return f"""\
#!/bin/sh
{made(TARGET)}\
# The authority of the cluster, once; for each node a certificate, anew at each start. Nodes renew theirs meanwhile.
set -eu
umask 077
authority=${{AUTHORITY:-/authority}}
nodes=${{NODES:-/nodes}}

[ -e "$authority/ca.key" ] || aether ca init --cluster {setup.name} --ca-dir "$authority"
for node in {names}; do
  tls="$nodes/$node/tls"
  if [ -e "$tls/node.pem" ]; then
    aether ca renew "$tls" --ca-dir "$authority"
  else
    rm -f "$tls/node.key" # of a start that was cut off
    aether ca issue "$node" --host "$node" --out "$tls" --ca-dir "$authority"
  fi
done
chown -R {USER}:{USER} "$authority" "$nodes"
"""
