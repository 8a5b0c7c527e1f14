"""Calls: which instance takes one, how long it may last, when it is repeated, what came of it.

Knows: endpoints, balancing, deadlines, retries, correlation; replies as values.
Never: web, deployment decisions, how an instance runs (it asks a LocalHost).
"""
