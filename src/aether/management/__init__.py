"""The admin surface: one table of paths, answered from the replicated rows and by an operator passed in.

Knows: paths, verbs, body schemas, who may call what, the shape of each answer.
Never: how wishes become instances (room deployment), consensus internals, sockets.
"""
