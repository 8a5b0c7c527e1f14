"""The replicated store: structured keys, commands, sessions, watches.

Knows: how a key is spelt, how a batch is applied, who repeats a request; proposes through consensus.
Never: what rows mean to a deployment, which transport carries a forwarded proposal.
Holds: the same entries give the same rows, versions, sessions and hash on every node.
"""
