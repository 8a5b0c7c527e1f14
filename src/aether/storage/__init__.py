"""Bytes that survive: the write-ahead log and the snapshots of one node, on disk or in memory.

Knows: records, segments, checksums, syncs, the lock and the identity of a data directory.
Never: what an entry means, when to write, any thread or task of its own.
Holds: what `write` returned from is durable; what is read back is what was written, or an error says where it is not.
"""
