"""`aether doctor`: each verdict at its bounds, and the whole against a node that runs and against none."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest
import trio

import aether
from aether.cli import doctor_facts, verdicts
from aether.cli.main import run
from aether.cli.verdicts import CertificateFacts, Finding, PortFacts, Verdict
from aether.testing.certificates import TestAuthority

DAY_S = 86_400.0
OK, WARNING, FAILED, SKIPPED = Verdict.OK, Verdict.WARNING, Verdict.FAILED, Verdict.SKIPPED


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (verdicts.port_verdict(PortFacts("http", 0, free=True)), OK),
        (verdicts.port_verdict(PortFacts("http", 81, free=True)), OK),
        (verdicts.port_verdict(PortFacts("http", 81, free=False, node="n1")), OK),
        (verdicts.port_verdict(PortFacts("http", 81, free=False, why="in use")), FAILED),
        (verdicts.disk_verdicts("/x", [0.019, 0.001, 9.0], 3 * 2**30)[0], OK),
        (verdicts.disk_verdicts("/x", [0.02], 3 * 2**30)[0], WARNING),
        (verdicts.disk_verdicts("/x", [0.2], 3 * 2**30)[0], FAILED),
        (verdicts.disk_verdicts("/x", [0.0], 3 * 2**30)[1], OK),
        (verdicts.disk_verdicts("/x", [0.0], 2**30)[1], WARNING),
        (verdicts.disk_verdicts("/x", [0.0], 2**20)[1], FAILED),
        (verdicts.files_verdict(65_536), OK),
        (verdicts.files_verdict(-1), OK),
        (verdicts.files_verdict(1_024), WARNING),
        (verdicts.files_verdict(256), FAILED),
        (verdicts.exposure_verdict("127.0.0.1", is_loopback=True, has_tls=False, is_insecure=False), OK),
        (verdicts.exposure_verdict("10.0.0.1", is_loopback=False, has_tls=True, is_insecure=False), OK),
        (verdicts.exposure_verdict("10.0.0.1", is_loopback=False, has_tls=False, is_insecure=True), WARNING),
        (verdicts.exposure_verdict("10.0.0.1", is_loopback=False, has_tls=False, is_insecure=False), FAILED),
        (verdicts.certificate_verdict(CertificateFacts(-1, 31 * DAY_S, 365 * DAY_S)), OK),
        (verdicts.certificate_verdict(CertificateFacts(-1, 29 * DAY_S, 365 * DAY_S)), WARNING),
        (verdicts.certificate_verdict(CertificateFacts(-1, 2.2 * DAY_S, 7 * DAY_S)), OK),
        (verdicts.certificate_verdict(CertificateFacts(-1, 2.0 * DAY_S, 7 * DAY_S)), WARNING),
        (verdicts.certificate_verdict(CertificateFacts(-1, -1, 7 * DAY_S)), FAILED),
        (verdicts.certificate_verdict(CertificateFacts(60, 7 * DAY_S, 7 * DAY_S)), FAILED),
        (verdicts.certificate_verdict(CertificateFacts(-1, 7 * DAY_S, 7 * DAY_S, "of n9")), FAILED),
        (verdicts.authority_verdict(91 * DAY_S), OK),
        (verdicts.authority_verdict(89 * DAY_S), WARNING),
        (verdicts.authority_verdict(-1), FAILED),
        (verdicts.quorum_verdict({"quorum": True, "status": "healthy", "nodeCount": 3}), OK),
        (verdicts.quorum_verdict({"quorum": True, "status": "degraded", "problems": ["n3 is away"]}), WARNING),
        (verdicts.quorum_verdict({"quorum": False, "status": "unhealthy"}), FAILED),
        (verdicts.version_verdict({"a": 3, "b": 3}), OK),
        (verdicts.version_verdict({}), OK),
        (verdicts.version_verdict({"a": 3, "b": 2}), WARNING),
        (verdicts.skew_verdict({"a": 0.5, "b": -0.5}, []), OK),
        (verdicts.skew_verdict({"a": 1.5, "b": -1.5}, ["c"]), WARNING),
        (verdicts.skew_verdict({"a": 40.0}, []), FAILED),
        (verdicts.skew_verdict({}, ["a"]), SKIPPED),
        (verdicts.lag_verdict({"a": 0.01}), OK),
        (verdicts.lag_verdict({"a": 0.01, "b": 0.2}), WARNING),
        (verdicts.lag_verdict({"a": 0.6}), FAILED),
        (verdicts.lag_verdict({}), SKIPPED),
    ],
)
def test_a_verdict_says_what_it_means_and_what_to_do_unless_all_is_well(finding, verdict):
    """Whoever reads it at night needs the next step, not a number."""
    assert finding.verdict is verdict
    assert finding.found
    assert bool(finding.means and finding.do) is (verdict in (WARNING, FAILED))


def test_the_worst_verdict_is_that_of_all():
    found = [Finding("a", OK, ""), Finding("b", SKIPPED, ""), Finding("c", WARNING, ""), Finding("d", FAILED, "")]
    assert [verdicts.worst(found[:n]) for n in range(5)] == [OK, OK, OK, WARNING, FAILED]


def test_a_port_that_something_else_holds_is_told_from_the_node_that_is_asked():
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        mine = {"nodeId": "n1", "addresses": {"http": f"127.0.0.1:{number}"}}

        assert doctor_facts.port_facts("http", "127.0.0.1", number, {}).node == ""
        assert doctor_facts.port_facts("http", "127.0.0.1", number, mine).node == "n1"
        assert doctor_facts.port_facts("cluster", "127.0.0.1", number, mine).why


def test_a_directory_that_is_not_there_yet_is_measured_where_it_will_be(tmp_path):
    found = doctor_facts.existing(tmp_path / "a" / "b")

    assert found == tmp_path
    assert len(doctor_facts.sync_times_s(found)) == doctor_facts.SYNCS
    assert list(tmp_path.iterdir()) == []


def test_settings_that_no_node_takes_are_a_finding(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AETHER_PORT", "x")
    assert run(["doctor", "--local"]) == 1
    assert "AETHER_PORT" in capsys.readouterr().out


def test_a_node_that_does_not_answer_is_a_finding_beside_those_of_the_machine(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["doctor", "-c", "127.0.0.1:1", "-o", "json"]) == 1
    checks = {each["check"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["node"]["verdict"] == "failed"
    assert checks["disk latency"]["found"]


@pytest.mark.process
async def test_a_healthy_node_passes_every_check(tmp_path):
    async with aether.Cluster.open(management=0) as cluster:
        line = [sys.executable, "-m", "aether", "-c", cluster.addresses.management_address, "doctor", "-o", "json"]
        ports = {f"AETHER_{name}PORT": "0" for name in ("", "HTTP_", "MANAGEMENT_")}
        done = await trio.run_process(
            line, capture_stdout=True, check=False, cwd=tmp_path, env={**os.environ, **ports}, stderr=subprocess.STDOUT
        )

    checks = {each["check"]: each for each in json.loads(done.stdout)["checks"]}
    assert {checks[name]["verdict"] for name in ("quorum", "versions", "clock skew")} == {"ok"}
    assert "loop lag" in checks


def shown(monkeypatch, tmp_path, capsys, directory, **environment):
    """The checks of certificates, with the exit code."""
    monkeypatch.chdir(tmp_path)
    settings = {"TLS": str(directory), "NODE_ID": "n1", "CLUSTER": "shop", **environment}
    for name, value in settings.items():
        monkeypatch.setenv(f"AETHER_{name}", value)
    for name in ("", "HTTP_", "MANAGEMENT_"):
        monkeypatch.setenv(f"AETHER_{name}PORT", "0")
    code = run(["doctor", "--local", "-o", "json"])
    checks = {each["check"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    return code, checks["certificate"], checks.get("authority")


@pytest.mark.parametrize(
    ("made", "environment", "verdict", "found", "do"),
    [
        ({}, {}, "ok", "ends in", ""),
        ({"made_s": -7 * 3600, "life_s": 8 * 3600.0}, {}, "warning", "ends in 0.0 days", "aether ca renew"),
        ({"made_s": -9 * 3600, "life_s": 8 * 3600.0}, {}, "failed", "ended 0.0 days ago", "aether ca renew"),
        ({"made_s": 2 * 3600}, {}, "failed", "begins in 1.9 h", "timedatectl"),
        ({}, {"CLUSTER": "bank"}, "failed", "this is the node n1 of the cluster bank", "aether ca issue"),
        ({}, {"NODE_ID": "n2"}, "failed", "aether://shop/node/n1", "aether ca issue"),
    ],
    ids=["good", "expiring", "expired", "of a clock ahead", "of another cluster", "of another node"],
)
def test_real_certificates_are_told_apart(monkeypatch, tmp_path, capsys, made, environment, verdict, found, do):
    ca = TestAuthority(tmp_path / "ca")
    made = {name: value + time.time() if name == "made_s" else value for name, value in made.items()}
    directory = ca.issue("n1", **made)
    code, certificate, authority = shown(monkeypatch, tmp_path, capsys, directory, **environment)
    assert certificate["verdict"] == verdict
    assert found in certificate["found"]
    assert do in certificate["do"]
    assert authority["verdict"] == "warning", "the one of these tests ends in a day"
    assert code == (1 if verdict == "failed" else 0)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda d: (d / "node.key").chmod(0o644), "others may read"),
        (lambda d: (d / "node.key").unlink(), "cannot read"),
        (lambda d: (d / "node.pem").write_text("no certificate"), "certificates"),
        (lambda d: (d / "node.pem").unlink(), "cannot read"),
    ],
    ids=["an open key", "no key", "no certificate in it", "no certificate"],
)
def test_files_that_no_node_starts_with_are_found(monkeypatch, tmp_path, capsys, spoil, found):
    directory = TestAuthority(tmp_path / "ca").issue("n1")
    spoil(directory)
    code, certificate, _ = shown(monkeypatch, tmp_path, capsys, directory)
    assert (code, certificate["verdict"]) == (1, "failed")
    assert found in certificate["found"]


def test_a_certificate_of_another_authority_is_found(monkeypatch, tmp_path, capsys):
    directory = TestAuthority(tmp_path / "ca").issue("n1")
    (directory / "ca.pem").write_bytes(TestAuthority(tmp_path / "other").certificate)
    code, certificate, _ = shown(monkeypatch, tmp_path, capsys, directory)
    assert (code, certificate["verdict"]) == (1, "failed")
    assert "no authority that is trusted" in certificate["found"]
