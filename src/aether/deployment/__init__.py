"""From wishes to running instances: reconcile, placement, the lifecycle driven on each node.

Knows: desired rows, instance rows, which members live and what they can load; the blueprint an operator applies.
Never: web, invocation, control; how a call finds an instance.
Holds: decisions are pure functions over one view; only `*_manager.py` waits.
"""
