"""Raft: replicated, ordered, durable commands. Commands are opaque bytes.

Knows: terms, logs, quorums, messages; a storage and a send are passed in to its service.
Never: transport, kv, what a command means.
Paper: Ongaro, Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014), and Ongaro's dissertation.
"""
