"""A StatefulSet: headless and plain Service, budget for disruptions, settings, and how each pod gets its certificate.

Knows: the objects of Kubernetes, the paths of the image `aether-node`.
Never: asks a cluster anything.
Holds: pods start in parallel, since founders wait for each other; one is replaced at a time, and only when the one
       before is ready; the key of the authority is seen by what prepares a pod, and by the node of the first one alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from aether.generate.setup import CLUSTER_PORT, HTTP_PORT, MANAGEMENT_PORT, USER, File, Setup
from aether.generate.words import Toml, made, readme, toml_text
from aether.generate.yaml import Noted, documents

TARGET = "kubernetes"
PRE_STOP_S = 5
_DATA = "/var/lib/aether"
_RUN = "/run/aether"


def files(setup: Setup) -> tuple[File, ...]:
    """The manifest, a README, and with TLS the script that makes the authority and its Secret."""
    found = [File("aether.yaml", manifest_text(setup)), File("README.md", readme_text(setup))]
    if setup.tls:
        found.append(File("authority.sh", authority_text(setup), is_script=True))
    return tuple(found)


def steps(setup: Setup) -> tuple[str, ...]:
    """What to do with the files."""
    space, first = f"-n {setup.namespace}", f"{setup.name}-0"
    found = [f"Push the image `{setup.image}` to where your cluster finds it."]
    if setup.tls:
        found.append(
            "`./authority.sh`: the authority in `authority/`, and the Secret made of it. Keep that directory safe."
        )
    return (
        *found,
        "`kubectl apply -f aether.yaml`",
        f"`kubectl {space} rollout status statefulset/{setup.name}`",
        f"`kubectl {space} exec {first} -- aether nodes`: all ON_DUTY.",
        f"Deploy: `kubectl {space} exec -i {first} -- aether blueprint apply - < blueprint.toml`",
    )


def readme_text(setup: Setup) -> str:
    scheme = "https" if setup.tls and not setup.plain_http else "http"
    address = f"{scheme}://{setup.name}.{setup.namespace}.svc:{HTTP_PORT}"
    more = (
        f"Routes of slices inside the cluster: {address}. The pages of aether tell the rest, operations/containers.md."
    )
    if not setup.tls:
        more += "\n\nWITHOUT TLS: whoever reaches the pods can change the cluster. Let a NetworkPolicy keep others out."
    return readme(f"{setup.name} on Kubernetes", TARGET, steps(setup), more)


def manifest_text(setup: Setup) -> str:
    objects = (_peers(setup), _service(setup), _budget(setup), _config(setup), _stateful_set(setup))
    return made(TARGET) + documents(*objects)


# --- objects ----------------------------------------------------------------------------------------------------------


def _labels(setup: Setup) -> Mapping[str, str]:
    return {"app.kubernetes.io/name": "aether", "app.kubernetes.io/instance": setup.name}


def _object(setup: Setup, version: str, kind: str, name: str) -> dict[str, object]:
    metadata = {"name": name, "namespace": setup.namespace, "labels": _labels(setup)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _port(name: str, number: int) -> Mapping[str, object]:
    return {"name": name, "port": number, "targetPort": name}


def _peers(setup: Setup) -> Mapping[str, object]:
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": Noted("Nodes become ready by talking to each other.", True),
        "selector": _labels(setup),
        "ports": [_port("cluster", CLUSTER_PORT)],
    }
    return {**_object(setup, "v1", "Service", f"{setup.name}-peers"), "spec": spec}


def _service(setup: Setup) -> Mapping[str, object]:
    ports = [_port("http", HTTP_PORT), _port("management", MANAGEMENT_PORT)]
    return {**_object(setup, "v1", "Service", setup.name), "spec": {"selector": _labels(setup), "ports": ports}}


def _budget(setup: Setup) -> Mapping[str, object]:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": _labels(setup)}}
    return {**_object(setup, "policy/v1", "PodDisruptionBudget", setup.name), "spec": spec}


def _config(setup: Setup) -> Mapping[str, object]:
    node: Mapping[str, Toml] = {
        "bind": "0.0.0.0",  # noqa: S104 - written, not bound
        "data_dir": f"{_DATA}/data",
        "drain_s": setup.drain_s,
    }
    peers = [f"{pod}:{host}:{CLUSTER_PORT}" for pod, host in _founders(setup).items()]
    contacts = [f"{host}:{CLUSTER_PORT}" for host in _founders(setup).values()]
    data: dict[str, object] = {
        "node.toml": toml_text({"node": node}),
        "founder.toml": toml_text({"cluster": {"name": setup.name, "peers": peers}}),
        "newcomer.toml": toml_text({"cluster": {"name": setup.name, "join": contacts}}),
    }
    if setup.tls:
        tls: dict[str, Toml] = {"dir": f"{_DATA}/tls"}
        data["tls.toml"] = toml_text({"tls": tls | ({"plain_http": True} if setup.plain_http else {})})
    data["prepare.sh"] = prepare_text(setup)
    return {**_object(setup, "v1", "ConfigMap", f"{setup.name}-config"), "data": data}


def _founders(setup: Setup) -> Mapping[str, str]:
    """Pod -> its name in the DNS."""
    pods = [f"{setup.name}-{number}" for number in range(setup.founders)]
    return {pod: f"{pod}.{setup.name}-peers.{setup.namespace}.svc" for pod in pods}


def _stateful_set(setup: Setup) -> Mapping[str, object]:
    claim: dict[str, object] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": setup.storage}},
    }
    if setup.storage_class:
        claim["storageClassName"] = setup.storage_class
    spec = {
        "serviceName": f"{setup.name}-peers",
        "replicas": setup.nodes,
        "podManagementPolicy": Noted(
            "Founders wait for a majority: one after the other they would wait for ever.", "Parallel"
        ),
        "updateStrategy": {"type": "RollingUpdate"},
        "minReadySeconds": 5,
        "selector": {"matchLabels": _labels(setup)},
        "template": {"metadata": {"labels": _labels(setup)}, "spec": _pod(setup)},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    return {**_object(setup, "apps/v1", "StatefulSet", setup.name), "spec": spec}


def _pod(setup: Setup) -> Mapping[str, object]:
    volumes: list[object] = [
        {"name": "config", "configMap": {"name": f"{setup.name}-config"}},
        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    if setup.tls:
        volumes.append({"name": "authority", "secret": {"secretName": f"{setup.name}-authority", "defaultMode": 0o440}})
    return {
        "terminationGracePeriodSeconds": PRE_STOP_S + setup.stop_s,
        "automountServiceAccountToken": False,
        "enableServiceLinks": Noted("Else a Service of this name would set AETHER_PORT.", False),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": Noted("Always would open private keys to the group again.", "OnRootMismatch"),
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": _apart(setup),
        "initContainers": [_preparer(setup)],
        "containers": [_node(setup)],
        "volumes": volumes,
    }


def _apart(setup: Setup) -> Mapping[str, object]:
    term = {"labelSelector": {"matchLabels": _labels(setup)}, "topologyKey": "kubernetes.io/hostname"}
    note = "One machine lost is one node lost. To try it on fewer machines: preferredDuringScheduling..."
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": Noted(note, [term])}}


def _preparer(setup: Setup) -> Mapping[str, object]:
    mounts = [("config", "/config"), ("run", _RUN), ("tmp", "/tmp"), ("data", _DATA)]  # noqa: S108 - of the container
    return {
        "name": "prepare",
        "image": setup.image,
        "command": ["/bin/sh", "/config/prepare.sh"],
        "env": _environment(),
        "securityContext": _locked(),
        "volumeMounts": _mounts(*mounts, *([("authority", "/authority")] if setup.tls else [])),
    }


def _node(setup: Setup) -> Mapping[str, object]:
    arguments = ["node", "--config", f"{_RUN}/aether.toml", *(word for app in setup.apps for word in ("--app", app))]
    environment = [
        *_environment(),
        {"name": "AETHER_NODE_ID", "value": "$(POD_NAME)"},
        {"name": "AETHER_ADVERTISE", "value": f"$(POD_NAME).{setup.name}-peers.$(POD_NAMESPACE).svc"},
    ]
    requests = {"cpu": "250m", "memory": "256Mi"}
    return {
        "name": "node",
        "image": setup.image,
        "args": arguments if setup.tls else [*arguments, "--insecure"],
        "env": environment,
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT},
            {"name": "management", "containerPort": MANAGEMENT_PORT},
            {"name": "cluster", "containerPort": CLUSTER_PORT},
        ],
        "startupProbe": {**_probe(setup, "live"), "periodSeconds": 2, "failureThreshold": 60},
        "livenessProbe": {**_probe(setup, "live"), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "readinessProbe": {**_probe(setup, "ready"), "periodSeconds": 3, "timeoutSeconds": 3, "failureThreshold": 2},
        "lifecycle": Noted(
            "Until the others have heard that this pod goes, its ports take requests. Then SIGTERM drains it.",
            {"preStop": {"exec": {"command": ["sleep", str(PRE_STOP_S)]}}},
        ),
        "resources": Noted(
            "An idle node needs little of this; what your slices need is yours to say.", {"requests": requests}
        ),
        "securityContext": _locked(),
        "volumeMounts": _mounts(("data", _DATA), ("run", _RUN), ("tmp", "/tmp")),  # noqa: S108 - of the container
    }


def _probe(setup: Setup, path: str) -> Mapping[str, object]:
    return {"httpGet": {"path": f"/health/{path}", "port": "management", "scheme": "HTTPS" if setup.tls else "HTTP"}}


def _environment() -> list[object]:
    fields = {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]


def _mounts(*places: tuple[str, str]) -> list[object]:
    read_only = ("config", "authority")
    return [
        {"name": name, "mountPath": path} | ({"readOnly": True} if name in read_only else {}) for name, path in places
    ]


def _locked() -> Mapping[str, object]:
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


# --- scripts ----------------------------------------------------------------------------------------------------------


def prepare_text(setup: Setup) -> str:
    """Runs before the node, in each pod, at each start."""
    founders = setup.founders
    certificate = f"""
# The certificate of this pod, signed anew at each start; the node renews it meanwhile.
mkdir -p "$run/ca"
for file in ca.key ca.pem cluster; do cat "${{AUTHORITY:-/authority}}/$file" > "$run/ca/$file"; done
if [ -e "$data/tls/node.pem" ]; then
  aether ca renew "$data/tls" --ca-dir "$run/ca"
else
  rm -f "$data/tls/node.key" # of a start that was cut off
  service={setup.name}.$POD_NAMESPACE
  aether ca issue "$POD_NAME" --out "$data/tls" --ca-dir "$run/ca" \\
    --host "$POD_NAME.{setup.name}-peers.$POD_NAMESPACE.svc" \\
    --host {setup.name} --host "$service" --host "$service.svc" --host "$service.svc.cluster.local"
fi
cat "$config/tls.toml" >> "$run/aether.toml"
if [ "$ordinal" = 0 ]; then
  echo "ca_key = \\"$run/ca/ca.key\\"" >> "$run/aether.toml" # it signs what the others ask it to renew
else
  rm -r "$run/ca"
fi
"""
    return f"""\
#!/bin/sh
# Before the node of a pod starts: its settings{", its certificate" if setup.tls else ""}.
set -eu
umask 077
data=${{DATA:-{_DATA}}}
run=${{RUN:-{_RUN}}}
config=${{CONFIG:-/config}}
ordinal=${{POD_NAME##*-}}

if [ "$ordinal" -lt {founders} ]; then kind=founder; else kind=newcomer; fi
{{ cat "$config/node.toml"; echo; cat "$config/$kind.toml"; echo; }} > "$run/aether.toml"
{certificate if setup.tls else ""}"""


def authority_text(setup: Setup) -> str:
    """Runs where the operator is."""
    return f"""\
#!/bin/sh
{made(TARGET)}\
# The authority of the cluster, once, and the Secret that pods get their certificates from.
set -eu
cd "$(dirname "$0")"
[ -e authority/ca.key ] || aether ca init --cluster {setup.name} --ca-dir authority
kubectl create secret generic {setup.name}-authority --namespace {setup.namespace} \\
  --from-file=ca.key=authority/ca.key --from-file=ca.pem=authority/ca.pem --from-file=cluster=authority/cluster \\
  --dry-run=client -o yaml | kubectl apply -f -
"""
