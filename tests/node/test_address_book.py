"""Each node dials every other where its row says that it is now."""

from aether.errors import BadInput
from aether.kv import keys
from aether.kv.decoded_rows import DecodedRows
from aether.kv.history import Compacted
from aether.kv.keys import ClusterRow
from aether.model.rows import MemberRow
from aether.node.address_book import AddressBook


class Rows:
    """The reads of the book, over plain rows. `raw` replaces what a row is stored as."""

    def __init__(self):
        self.addresses, self.raw, self.version, self.cluster = {}, {}, 0, None
        self.decoded = DecodedRows()

    def get(self, key):
        return self.cluster

    @property
    def revision(self):
        self.version += 1
        return self.version

    def follow(self, prefix):
        pass

    def versioned(self, text, prefix):
        found = {row[0]: row for row in self.page(prefix, "", 100)}.get(text)
        read = found and self.decoded.readable(text, found[1], found[2], prefix.codec.decode)
        return (found[2], read[0]) if read else None

    @property
    def unreadable(self):
        return self.decoded.unreadable

    def changed_after(self, revision, prefix):
        raise Compacted(revision, self.version)

    def page(self, prefix, after, limit):
        found = []
        for node, address in sorted(self.addresses.items()):
            key = keys.member(node)
            row = MemberRow(node=node, incarnation="i", cluster_address=address)
            found.append((key.text, self.raw.get(node, key.encode(row)), self.version))
        return found


class Dialler:
    def __init__(self):
        self.told = []

    def remember_peer(self, node, address):
        if ":" not in address:
            raise BadInput("no address")
        self.told.append((node, address))

    def forget_peer(self, node):
        self.told.append((node, None))

    def set_cluster_uuid(self, uuid):
        self.told.append(uuid)


def test_peers_follow_the_rows():
    rows, dialler = Rows(), Dialler()
    book = AddressBook("a", rows, dialler)
    rows.addresses = {"a": "h:1", "b": "h:2", "c": ""}
    book.look()
    book.look()
    rows.addresses = {"a": "h:1", "b": "h:3"}
    book.look()
    rows.cluster = ClusterRow(uuid="u", name="shop")
    book.look()

    assert dialler.told == [("b", "h:2"), ("c", None), ("b", "h:3"), "u"]
    assert not book.is_empty


def test_a_row_of_nonsense_ends_nobody(caplog):
    """A slip of `aether kv put --force` must not stop every node of the cluster: what was known of that one stays."""
    rows, dialler = Rows(), Dialler()
    book = AddressBook("a", rows, dialler)
    rows.addresses = {"b": "h:2", "c": "h:3"}
    book.look()
    rows.addresses, rows.raw = {"b": "h:4", "c": "h:3", "d": "h:5"}, {"c": b"nonsense"}
    book.look()

    assert dialler.told == [("b", "h:2"), ("c", "h:3"), ("b", "h:4"), ("d", "h:5")]
    assert "members/c cannot be read" in caplog.text
