"""How a node and its calls are doing: counters, windows, sketches, exposition, alerts, events.

Knows: figures and their names, how they are merged and kept within a bound, what is worth a word.
Never: the log: figures travel beside it; placing or scaling anything.
"""
