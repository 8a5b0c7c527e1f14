"""The `aether` command: argv → HTTP → text.

Knows: arguments, the management API over HTTP, tables and exit codes.
Never: kv or consensus; only `aether node` builds a node.
"""
