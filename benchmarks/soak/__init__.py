"""Hours under load and gentle chaos: does anything grow that should not?

    nox -s soak -- --minutes 60

Knows: real nodes started as an operator starts them, their processes and directories seen from outside.
Never: the rooms inside a node.
"""
