"""A shop that leaves one FastAPI process for a cluster, and answers the same requests alike after each step.

`before` is the whole application. `step_1` runs it unchanged in a node, `step_2` takes the stock out of it, `step_3`
the orders; `stock` is the slice of the last two. docs/howto/migrate-a-monolith.md tells the story.
"""
