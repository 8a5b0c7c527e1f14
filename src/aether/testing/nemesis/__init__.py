"""Real nodes under real faults: processes are killed, stopped, cut off and starved while clients record what they see.

Knows: how nodes are started and disturbed from outside, what a client may conclude from an answer.
Never: the rooms inside a node; whether a history is good is for the linearizability checker.
Holds: what the harness itself does wrong is told apart from what the cluster does wrong.
"""
