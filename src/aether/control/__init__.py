"""How many instances there shall be: signals, rules, decisions with their reasons.

Knows: figures of the cluster, wishes and bounds.
Never: placing instances (room deployment); it changes counts alone.
"""
