"""The manifest: by the schemas of Kubernetes, of a node, and of whoever is careful."""

import stat
import subprocess

import kubernetes_validate
import pytest
import yaml
from tests.generate.conftest import SHAPES, read_settings

from aether.cli.main import run
from aether.generate.kubernetes import PRE_STOP_S, authority_text, manifest_text
from aether.generate.setup import Setup
from aether.security.certificates import read_certificate

VERSIONS = ["1.28", "1.31", kubernetes_validate.latest_version()]


def objects(setup):
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(manifest_text(setup))}


def stateful_set(setup):
    return objects(setup)["StatefulSet", setup.name]["spec"]


def pod(setup):
    return stateful_set(setup)["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("setup", SHAPES)
def test_every_object_is_valid_by_the_strict_schema(setup, version):
    for each in objects(setup).values():
        kubernetes_validate.validate(each, version, strict=True)


def test_the_schema_would_tell_of_a_wrong_key():
    """It is no test if it takes everything."""
    wrong = stateful_set(Setup())
    wrong["template"]["spec"]["containers"][0]["startupProb"] = {}
    whole = {**objects(Setup())["StatefulSet", "aether"], "spec": wrong}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(whole, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("setup", SHAPES)
def test_selectors_find_the_pods(setup):
    labels = stateful_set(setup)["template"]["metadata"]["labels"]
    found = objects(setup)

    assert found["Service", setup.name]["spec"]["selector"].items() <= labels.items()
    assert found["Service", f"{setup.name}-peers"]["spec"]["selector"].items() <= labels.items()
    assert found["PodDisruptionBudget", setup.name]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert stateful_set(setup)["selector"]["matchLabels"] == labels
    assert stateful_set(setup)["serviceName"] == f"{setup.name}-peers"
    (term,) = pod(setup)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"]["matchLabels"] == labels


@pytest.mark.parametrize("setup", SHAPES)
def test_pods_satisfy_the_restricted_profile(setup):
    """The rules of Pod Security Standards, profile `restricted`, and a root that nobody writes to."""
    rights = pod(setup)["securityContext"]
    assert rights["runAsNonRoot"] is True
    assert rights["runAsUser"] == 10001
    assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*pod(setup)["containers"], *pod(setup)["initContainers"]):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own["readOnlyRootFilesystem"] is True
        assert all(mount["name"] in names_of(pod(setup)) | {"data"} for mount in container["volumeMounts"])
    assert {"hostNetwork", "hostPID", "hostIPC"} & set(pod(setup)) == set()


def names_of(spec):
    return {volume["name"] for volume in spec["volumes"]}


@pytest.mark.parametrize("setup", SHAPES)
def test_the_time_to_leave_covers_the_pause_and_the_drain(setup):
    (node,) = pod(setup)["containers"]

    assert node["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", str(PRE_STOP_S)]
    assert pod(setup)["terminationGracePeriodSeconds"] >= PRE_STOP_S + setup.drain_s + 10


@pytest.mark.parametrize("setup", SHAPES)
def test_probes_speak_as_the_port_does(setup):
    """The kubelet sends the pod's address as Host, which a node takes as it takes any address."""
    (node,) = pod(setup)["containers"]
    for name, path in {"startupProbe": "live", "livenessProbe": "live", "readinessProbe": "ready"}.items():
        get = node[name]["httpGet"]
        assert get["path"] == f"/health/{path}"
        assert get["scheme"] == ("HTTPS" if setup.tls else "HTTP")
        assert "httpHeaders" not in get


def test_only_what_prepares_a_pod_sees_the_secret():
    (node,) = pod(Setup())["containers"]
    (first,) = pod(Setup())["initContainers"]

    assert "authority" not in {mount["name"] for mount in node["volumeMounts"]}
    assert "authority" in {mount["name"] for mount in first["volumeMounts"]}


def prepared(setup, number, tmp_path, shell):
    """What the script of pod `number` leaves: its settings as read, and where its files are."""
    place = tmp_path / f"pod-{number}"
    config, state, fresh = place / "config", place / "data", place / "run"
    for folder in (config, state, fresh):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in objects(setup)["ConfigMap", f"{setup.name}-config"]["data"].items():
        (config / name).write_text(text)
    variables = {
        "POD_NAME": f"{setup.name}-{number}", "POD_NAMESPACE": setup.namespace,
        "AUTHORITY": str(tmp_path / "authority"), "DATA": str(state), "RUN": str(fresh), "CONFIG": str(config),
    }  # fmt: skip
    done = subprocess.run(
        ["sh", config / "prepare.sh"],
        env={**shell, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (node,) = pod(setup)["containers"]
    environment = {
        each["name"]: each["value"].replace("$(POD_NAME)", variables["POD_NAME"]).replace("$(POD_NAMESPACE)", "prod")
        for each in node["env"]
        if "value" in each
    }
    assert ("--insecure" in node["args"]) == (not setup.tls)
    return read_settings((fresh / "aether.toml").read_text(), environment, insecure=not setup.tls), place


@pytest.fixture
def authority(tmp_path, capsys):
    assert run(["ca", "init", "--cluster", "shop", "--ca-dir", str(tmp_path / "authority")]) == 0


@pytest.mark.process
def test_each_pod_prepares_itself(tmp_path, shell, authority):
    setup = Setup(name="shop", nodes=4, namespace="prod", drain_s=25)
    found = {number: prepared(setup, number, tmp_path, shell) for number in range(4)}

    for number, (config, place) in found.items():
        read = read_certificate((place / "data/tls/node.pem").read_bytes())
        assert config.node == f"shop-{number}"
        assert config.drain_s == 25
        assert read.shown.identity.uri == f"aether://shop/node/{config.node}"
        assert config.advertise == f"shop-{number}.shop-peers.prod.svc"
        assert {config.advertise, "shop", "shop.prod.svc", "localhost"} <= set(read.hosts)
        assert stat.S_IMODE((place / "data/tls/node.key").stat().st_mode) == 0o600
    assert [number for number, (config, _) in found.items() if not config.join] == [0, 1, 2]
    assert found[0][0].voters == ("shop-0", "shop-1", "shop-2")
    assert dict(found[0][0].peers) == {f"shop-{n}": f"shop-{n}.shop-peers.prod.svc:8090" for n in (1, 2)}
    assert found[0][0].ca_key == found[0][1] / "run/ca/ca.key"
    assert stat.S_IMODE(found[0][0].ca_key.stat().st_mode) == 0o600
    assert [number for number, (_, place) in found.items() if list(place.rglob("ca.key"))] == [0]


@pytest.mark.process
def test_a_pod_that_starts_again_keeps_its_key_and_gets_a_fresh_certificate(tmp_path, shell, authority):
    setup = Setup(name="shop", namespace="prod")
    _, place = prepared(setup, 1, tmp_path, shell)
    key, certificate = (place / "data/tls/node.key").read_bytes(), (place / "data/tls/node.pem").read_bytes()
    prepared(setup, 1, tmp_path, shell)

    assert (place / "data/tls/node.key").read_bytes() == key
    assert (place / "data/tls/node.pem").read_bytes() != certificate


@pytest.mark.process
def test_without_tls_the_settings_alone_are_prepared(tmp_path, shell):
    config, place = prepared(Setup(name="shop", namespace="prod", tls=False), 2, tmp_path, shell)

    assert config.tls is None
    assert config.insecure
    assert [path.name for path in place.rglob("*") if path.suffix in (".key", ".pem")] == []


@pytest.mark.process
def test_the_authority_is_made_once_and_handed_over_as_a_secret(tmp_path, shell):
    """By a kubectl that writes down what it is asked; `apply`, the end of a pipe, once it has read all of it."""
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.write_text(f'#!/bin/sh\n[ "$1" != apply ] || cat > /dev/null\necho "$@" >> {tmp_path}/asked\necho made\n')
    kubectl.chmod(0o755)
    script = tmp_path / "authority.sh"
    script.write_text(authority_text(Setup(name="shop", namespace="prod")))
    for _ in range(2):
        subprocess.run(["sh", script], env=shell, check=True, capture_output=True, timeout=60)
        key = (tmp_path / "authority/ca.key").read_bytes()

    assert (tmp_path / "authority/ca.key").read_bytes() == key
    create, apply = (tmp_path / "asked").read_text().splitlines()[:2]
    assert create.startswith(
        "create secret generic shop-authority --namespace prod --from-file=ca.key=authority/ca.key"
    )
    assert apply == "apply -f -"
