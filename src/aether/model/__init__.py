"""The nouns of the cluster and their invariants.

Knows: ids, coordinates, versions, lifecycle, rows of the replicated store, limits.
Never: behaviour that waits, I/O, any other room but errors.
"""
