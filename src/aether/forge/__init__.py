"""A cluster on this machine: processes, load, faults, audits, and the demo made of them.

Knows: how `aether node` is started, the HTTP surfaces of a node.
Never: the rooms inside a node; everything here happens from outside, as an operator would do it.
"""
