"""Plots told as conversations: each file in `data/` is a story in commands and what the nodes do.

Stanzas part at blank lines: `#` comments, commands, `----`, the answer. `pytest tests/consensus --rewrite` writes the
answers anew; read the diff before committing.

Commands: nodes NAMES; settings NAMES kept=N chunk=N window=N bytes=N inflight=N leases=1; store NODE TERMS [term=N
commit=N vote=NODE]; wish NODE PRIORITY (restarts it); tick NODE N; campaign NODE; elect NODE (told in short); propose
NODE WORDS; deliver [FROM] [TO]; drop FROM TO; delay FROM TO (until `arrive`); cut A B; mend; stabilize; log NODES;
progress NODE; lease NODE; state; crash NODE; restart NODE; hold NODE (its disk hangs); persist NODE [N writes]; unhold
NODE; snapshot NODE; closed PEER NODES; transfer NODE TO; read NODE CONTEXT; join NODES (newcomers with empty stores);
change NODE add=NODES promote=NODES demote=NODES remove=NODES; members NODES. `*` stands for any node.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aether.consensus.values import HardState, Persisted
from aether.errors import AetherError

FILES = sorted((Path(__file__).parent / "data").glob("*.txt"))


class Stage:
    """Carries out commands on a group."""

    def __init__(self, make_group, entries_of, configuration_text):
        self._configuration_text = configuration_text
        self._make_group = make_group
        self._entries_of = entries_of
        self._late = []
        self.group = None

    def answer(self, commands):
        said = []
        for command in commands:
            verb, *words = command.split()
            if self.group is not None:
                self.group.said.clear()
            try:
                told = getattr(self, f"do_{verb}")(*words)
            except AetherError as refused:
                told = f"  {type(refused).__name__}: {refused}"
            if verb != "nodes":
                for node in self.group.names:
                    self.group.drive(node)
            said += self.group.said if verb != "nodes" else []
            if told:
                said.append(told)
        return "\n".join(said) or "  ok"

    def do_nodes(self, names, **_):
        self.group = self._make_group(names)

    def do_settings(self, names, *settings):
        words = {
            "kept": "entries_kept",
            "chunk": "snapshot_chunk_bytes",
            "window": "snapshot_window",
            "bytes": "append_bytes_max",
            "inflight": "inflight_appends_max",
            "leases": "lease_reads",
        }
        pairs = (setting.split("=") for setting in settings)
        self.group = self._make_group(names, **{words[name]: int(value) for name, value in pairs})

    def do_wish(self, node, priority):
        self.group.priorities[node] = int(priority)
        self.group.start(node)

    def do_lease(self, node):
        core = self.group[node]
        return f"  {node} has begun round {core.begun_round}; of round {core.leased_round} a lease may last"

    def do_tick(self, node, count):
        self.group.tick(node, int(count))

    def do_campaign(self, node):
        self.group.campaign(node)

    def do_elect(self, node):
        core = self.group.elect(node)
        self.group.said.clear()
        return f"  {node} leads term {core.term}, everybody has entry {core.commit_index}"

    def do_propose(self, node, *words):
        self.group.propose(node, *words)

    def do_deliver(self, sender="*", to="*"):
        count = self.group.deliver(*(None if name == "*" else name for name in (sender, to)))
        return None if count else "  nothing to deliver"

    def do_drop(self, sender="*", to="*"):
        dropped = self.group.take(*(None if name == "*" else name for name in (sender, to)))
        return f"  {len(dropped)} dropped"

    def do_delay(self, sender="*", to="*"):
        self._late += self.group.take(*(None if name == "*" else name for name in (sender, to)))

    def do_arrive(self):
        self.group.wire, others = self._late, self.group.wire
        self._late = []
        self.group.deliver()
        self.group.wire = others + self.group.wire

    def do_cut(self, one, other):
        self.group.cut |= {(one, other), (other, one)}

    def do_mend(self):
        self.group.cut.clear()

    def do_stabilize(self):
        self.group.stabilize()

    def do_log(self, names):
        return "\n".join(f"  {name}: {self.group.log(name)}" for name in names)

    def do_state(self):
        return "\n".join(
            f"  {name}: {c.role} term={c.term} leader={c.leader} commit={c.commit_index} last={c.last_index}"
            for name, c in sorted(self.group.cores.items())
        )

    def do_progress(self, node):
        peers = self.group[node]._leadership.replication.describe()
        return "\n".join(f"  {peer}: {p.mode} match={p.match} next={p.next}" for peer, p in peers.items())

    def do_crash(self, node):
        self.group.crash(node)

    def do_restart(self, node):
        self.group.start(node)

    def do_hold(self, node):
        self.group.held.add(node)

    def do_unhold(self, node):
        self.group.held.discard(node)
        self.group.persist(node)

    def do_persist(self, node, count="1000"):
        self.group.persist(node, int(count))

    def do_snapshot(self, node):
        self.group.snapshot(node)

    def do_closed(self, peer, nodes):
        for node in nodes:
            self.group[node].peer_closed(peer)

    def do_read(self, node, context):
        self.group.read(node, int(context))

    def do_transfer(self, node, to):
        self.group[node].transfer(to)

    def do_join(self, names):
        for name in names:
            self.group.join(name)

    def do_change(self, node, *changes):
        self.group.change(node, **dict(change.split("=") for change in changes))

    def do_members(self, names):
        cores = [self.group[name] for name in names]
        removed = [" removed" if core.is_removed else "" for core in cores]
        return "\n".join(
            f"  {core.node}: {self._configuration_text(core.configuration)} of entry {core.configuration_index}{gone}"
            for core, gone in zip(cores, removed, strict=True)
        )

    def do_store(self, node, *words):
        terms = [int(word) for word in words if "=" not in word]
        named = dict(word.split("=") for word in words if "=" in word)
        hard = HardState(int(named.get("term", max(terms, default=0))), named.get("vote"), int(named.get("commit", 0)))
        self.group.start(node, Persisted(hard, None, self._entries_of(*terms)))


def played(text, stage):
    """The file with the answers that the nodes give now."""
    stanzas = []
    for stanza in re.split(r"\n{2,}", text.strip()):
        question, mark, _ = stanza.partition("----")
        commands = [line for line in question.splitlines() if line and not line.startswith("#")]
        stanzas.append(f"{question}----\n{stage.answer(commands)}" if mark else stanza)
    return "\n\n".join(stanzas) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_nodes_talk_as_written(path, make_group, entries_of, spell_configuration, rewrite):
    """A change of the protocol shows as a diff of a story that a person can read."""
    text = path.read_text()
    actual = played(text, Stage(make_group, entries_of, spell_configuration))
    if rewrite:
        path.write_text(actual)
    assert actual == text or rewrite


def test_there_are_stories():
    """An empty folder would pass in silence."""
    assert len(FILES) >= 10
