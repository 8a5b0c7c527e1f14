"""Where a slice instance lives.

Knows: construction with injected fields, lifespan, background tasks, serving one call, draining.
Never: which instances should exist (room deployment), how a call found its way here (room invocation).
"""
