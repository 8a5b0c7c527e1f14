"""Settings of a node: where they come from, which win, what is refused."""

from pathlib import Path

import pytest

from aether.control.settings import ControllerSettings
from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.limits import DRAIN_S
from aether.node.assignments import set_labels, set_values
from aether.node.config import NodeConfig
from aether.node.config_sources import Sources, flatten, load, origins
from aether.node.peer_addresses import parse_peers


def test_arguments_win_over_the_environment_and_the_file():
    """An operator who types an option means it."""
    toml = '[node]\nid = "from-file"\n[ports]\nhttp = 1\nmanagement = 2\ncluster = 3\n'
    environment = {"NODE_ID": "from-environment", "MANAGEMENT_PORT": "20"}

    config = load(Sources(arguments={"node_id": "typed"}, environment=environment, toml=toml))

    assert (config.node, config.http_port, config.management_port, config.port) == ("typed", 1, 20, 3)


def test_defaults_are_loopback_and_the_originals_ports():
    config = load(Sources())

    assert (config.node, config.bind) == ("node-1", "127.0.0.1")
    assert (config.management_port, config.http_port, config.port) == (8080, 8081, 8090)


def test_peers_may_name_this_node_itself():
    """The same list can be given to every node."""
    config = load(Sources(arguments={"node_id": "b", "peers": "a:h:1,b:h:2,c:h:3"}))

    assert dict(config.peers) == {"a": "h:1", "c": "h:3"}
    assert config.voters == ("a", "b", "c")


def test_a_bare_peer_gets_the_originals_made_up_name():
    assert parse_peers("10.0.0.5:8090") == {"node-10-0-0-5-8090": "10.0.0.5:8090"}


def test_every_bad_peer_is_named_at_once():
    with pytest.raises(BadInput) as caught:
        parse_peers("a:h:x, b:h:0, a:h:1, a:h:2")

    assert [p.split(":")[0] for p in caught.value.problems] == ["'a", "'b", "'a"]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[prots]\nhttp = 1", "did you mean ports"),
        ("[node]\nidd = 'x'", "did you mean id"),
        ("node = 3", "must be a table"),
        ("[node", "no TOML"),
        ("[ports]\nhttp = 'many'", "0 to 65535"),
        ("[ports]\nhttp = true", "0 to 65535"),
        ("[node]\ndrain_s = -1", "above 0"),
        ("[node]\nlease_reads = 1", "node.lease_reads = 1: write true or false"),
        ("[node]\npriority = 1.5", "node.priority = 1.5: give a whole number"),
    ],
)
def test_a_wrong_file_says_what_and_where(toml, message):
    with pytest.raises(BadInput) as caught:
        load(Sources(file="aether.toml", toml=toml))

    assert message in str(caught.value)


def test_a_public_address_without_tls_and_tokens_refuses_to_start():
    """Security by default: nobody exposes a cluster by accident."""
    with pytest.raises(BadInput, match="--insecure"):
        load(Sources(arguments={"bind": "0.0.0.0"}))

    assert load(Sources(arguments={"bind": "0.0.0.0", "insecure": True})).bind == "0.0.0.0"


def test_two_ports_cannot_be_the_same():
    with pytest.raises(BadInput, match="give each its own"):
        load(Sources(arguments={"port": 9000, "http_port": 9000}))


def test_settings_for_slices_are_flattened_and_can_be_set():
    config = load(Sources(toml='[config]\nshop.currency = "EUR"\nshop.fast = true\n'))

    assert set_values(config, ["shop.currency=USD", "x=a=b"]).settings == {
        "shop.currency": "USD",
        "shop.fast": "true",
        "x": "a=b",
    }


def test_labels_of_the_command_line_stand_before_those_of_the_file():
    config = load(Sources(toml='[labels]\ndisk = "ssd"\ncapacity = 20\n'))

    assert set_labels(config, ["disk=nvme", "gpu=yes"]).labels == {"disk": "nvme", "capacity": "20", "gpu": "yes"}
    with pytest.raises(BadInput, match="--label gpu: write NAME=VALUE"):
        set_labels(config, ["gpu"])
    with pytest.raises(BadInput, match="label capacity 'many': give a whole number"):
        set_labels(config, ["capacity=many"])


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(BadInput, match="write NAME=VALUE"):
        set_values(NodeConfig(node="n"), ["x"])


@pytest.mark.parametrize("variable", ["AETHER_PORT", "CLUSTER_PORT"])
def test_a_bad_value_names_the_variable_that_it_came_from(variable):
    """Nobody typed --port; an operator would search their command line in vain."""
    with pytest.raises(BadInput, match=f"{variable}=many"):
        load(Sources(environment={variable: "many"}))


def test_the_variables_that_kubernetes_makes_up_are_recognised():
    """A service named `aether` sets AETHER_PORT=tcp://...: known from many a program that failed by it."""
    with pytest.raises(BadInput, match="Kubernetes"):
        load(Sources(environment={"AETHER_PORT": "tcp://10.0.0.1:8090"}))


def test_a_bad_value_of_the_file_names_its_key():
    with pytest.raises(BadInput, match=r"aether\.toml: ports\.http=many"):
        load(Sources(file="aether.toml", toml='[ports]\nhttp = "many"'))


@pytest.mark.parametrize("text", ["²", "999999999999999999999999", "-1", "1.5"])
def test_what_only_looks_like_a_port_is_none(text):
    with pytest.raises(BadInput, match="0 to 65535"):
        load(Sources(arguments={"port": text}))


def test_the_originals_environment_is_understood():
    """Its container image and its tests set these."""
    environment = {
        "NODE_ID": "node-2",
        "CLUSTER_PORT": "9090",
        "MANAGEMENT_PORT": "9080",
        "PEERS": "node-1:10.99.0.2:8090,node-2:10.99.0.3:8090",
    }

    config = load(Sources(environment=environment))

    assert (config.node, config.port, config.management_port) == ("node-2", 9090, 9080)
    assert dict(config.peers) == {"node-1": "10.99.0.2:8090"}
    assert load(Sources(environment={"CLUSTER_PEERS": "a:h:1", "PEERS": "b:h:2"})).peers == {"a": "h:1"}


def test_python_values_become_the_text_that_slices_read():
    assert flatten({"a": True, "b": {"c": [1, 2]}, "d.e": 1.5}) == {"a": "true", "b.c": "1,2", "d.e": "1.5"}


def test_a_wildcard_address_needs_a_name_that_peers_can_dial():
    """0.0.0.0 means something else on every machine."""
    given = {"bind": "0.0.0.0", "insecure": True, "peers": "a:h:1,b:h:2"}
    with pytest.raises(BadInput, match="--advertise"):
        load(Sources(arguments=given))

    assert load(Sources(arguments={**given, "advertise": "h"})).advertise == "h"


def test_elections_and_leases_are_set_by_option_or_file():
    """What they mean is for the consensus room to say; nothing is on unless asked for."""
    assert (load(Sources()).lease_reads, load(Sources()).priority) == (False, 0)
    from_file = load(Sources(toml="[node]\nlease_reads = true\npriority = -1\n"))
    assert (from_file.lease_reads, from_file.priority) == (True, -1)
    typed = load(Sources(arguments={"priority": 3}, toml="[node]\nlease_reads = true\npriority = -1\n"))
    assert (typed.lease_reads, typed.priority) == (True, 3)


def test_how_often_the_state_is_saved_can_be_set():
    """Tests of real nodes want it often; a machine with slow disks seldom."""
    assert load(Sources(toml="[node]\nsnapshot_entries = 500\n")).snapshot_entries == 500
    assert load(Sources(environment={"AETHER_SNAPSHOT_ENTRIES": "200"})).snapshot_entries == 200
    with pytest.raises(BadInput, match="at least 50"):
        load(Sources(environment={"AETHER_SNAPSHOT_ENTRIES": "3"}))
    with pytest.raises(BadInput, match="give a whole number"):
        load(Sources(environment={"AETHER_SNAPSHOT_ENTRIES": "many"}))


def test_how_long_calls_get_when_the_node_leaves_is_said_like_its_siblings():
    """A supervisor that kills after some seconds is written beside the start command, not beside a file."""
    assert load(Sources()).drain_s == DRAIN_S
    toml = "[node]\ndrain_s = 40\n"
    assert load(Sources(toml=toml)).drain_s == 40.0
    assert load(Sources(environment={"AETHER_DRAIN_S": "25.5"}, toml=toml)).drain_s == 25.5
    assert load(Sources(arguments={"drain": 3.0}, environment={"AETHER_DRAIN_S": "25"})).drain_s == 3.0
    for text in ("soon", "0", "-1", "nan", "inf"):
        with pytest.raises(BadInput, match=r"AETHER_DRAIN_S.*number of seconds above 0"):
            load(Sources(environment={"AETHER_DRAIN_S": text}))


# --- joining ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sources",
    [
        Sources(arguments={"join": ("h:1", "[::1]:2,h:1")}),
        Sources(environment={"AETHER_JOIN": "h:1, [::1]:2"}),
        Sources(toml='[cluster]\njoin = ["h:1", "[::1]:2"]\n'),
        Sources(toml='[cluster]\njoin = "h:1,[::1]:2"\n'),
    ],
)
def test_whom_to_join_may_stand_anywhere_each_once(sources):
    config = load(sources)

    assert config.join == ("h:1", "[::1]:2")
    assert config.voters == ()  # it founds nothing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"join": ("h",)}, "HOST:PORT"),
        ({"join": ("h:0", "h:x", "::1:5")}, "'h:x'"),
        ({"join": ("a:²",)}, "HOST:PORT"),
        ({"join": ("[::1:8090",)}, "HOST:PORT"),
        ({"join": ("h:1",), "peers": "a:h:1"}, "contradict"),
        ({"join": ("h:1",), "bind": "0.0.0.0", "insecure": True}, "--advertise"),
        ({"core_max": 0}, "core_max = 0"),
        ({"core_max": 99}, "1 to 15"),
    ],
)
def test_what_contradicts_joining_is_refused(arguments, message):
    with pytest.raises(BadInput, match=message):
        load(Sources(arguments=arguments))


@pytest.mark.parametrize("toml", ["core_max = true", 'core_max = "many"', 'auto_replace = "no"'])
def test_settings_of_the_group_have_types(toml):
    with pytest.raises(BadInput, match=toml.partition(" ")[0]):
        load(Sources(toml=f"[cluster]\n{toml}\n"))


def test_settings_of_the_group_are_read():
    config = load(Sources(toml="[cluster]\ncore_max = 3\nauto_replace = false\n"))

    assert (config.core_max, config.auto_replace) == (3, False)
    assert (load(Sources()).core_max, load(Sources()).auto_replace) == (5, True)


def test_each_setting_says_where_it_came_from():
    """Whoever wonders why a node listens there reads it, and need not guess."""
    sources = Sources(
        arguments={"zone": "a"},
        environment={"HTTP_PORT": "1", "AETHER_BIND": "127.0.0.2"},
        file="aether.toml",
        toml='[ports]\nhttp = 2\nmanagement = 3\n[config]\na.b = 1\n[secrets]\nkey = "k3y"\n',
    )

    found = {each.name: (each.value, each.origin) for each in origins(sources)}

    assert found["node.zone"] == ("a", "--zone")
    assert found["ports.http"] == (1, "HTTP_PORT")
    assert found["ports.management"] == (3, "aether.toml: ports.management")
    assert found["ports.cluster"] == (8090, "default")
    assert found["config.a.b"] == ("1", "aether.toml: config.a.b")
    assert str(found["node.data_dir"][0]) == "aether-data/node-1"
    assert "k3y" not in str(found), "secrets are not shown"
    assert "secrets.key" in found


def test_all_wrong_values_are_said_at_once():
    with pytest.raises(BadInput) as caught:
        load(Sources(arguments={"port": "x"}, environment={"HTTP_PORT": "y"}, toml="[node]\ndrain_s = 0\n"))

    assert [line.partition("=")[0].strip() for line in caught.value.problems] == [
        "--port",
        "HTTP_PORT",
        ": node.drain_s",
    ]


def test_the_section_of_the_controller_is_read_below_what_is_set_at_run_time():
    toml = '[controller]\ncpu_up = 0.7\n[controller.slices."shop:orders"]\nstep_up = 1\n'
    config = load(Sources(file="aether.toml", toml=toml))

    assert config.controller.cpu_up == 0.7
    assert config.controller.of(ArtifactBase.parse("shop:orders")).step_up == 1
    assert load(Sources()).controller == ControllerSettings()
    shown = {each.name: each.origin for each in origins(Sources(file="aether.toml", toml=toml))}
    assert shown["controller.cpu_up"] == "aether.toml: controller.cpu_up"


def test_what_makes_no_sense_for_the_controller_is_said_with_its_section():
    with pytest.raises(BadInput, match="is not below cpu_up"):
        load(Sources(file="aether.toml", toml="[controller]\ncpu_down = 0.9\n"))


def test_a_public_address_with_certificates_starts_without_insecure(tmp_path):
    """For the cluster port as for the others: `--bind` is one for all."""
    NodeConfig(node="n1", bind="10.0.0.1", port=8090, tls=tmp_path).check()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"ca_key": Path("ca.key")}, "--ca-key needs --tls"),
        ({"join_token": Path("t"), "join": ("h:1",), "port": 0}, "--join-token needs --tls"),
        ({"join_token": Path("t"), "tls": Path("tls")}, "--join-token needs --join"),
        ({"http_cert": Path("c"), "tls": Path("tls")}, "belong together"),
        ({"plain_http": True}, "--plain-http needs --tls"),
    ],
)
def test_settings_of_certificates_that_do_not_fit_are_refused(settings, why):
    with pytest.raises(BadInput, match=why):
        NodeConfig(node="n1", **settings).check()
