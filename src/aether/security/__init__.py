"""Who somebody is: tokens, certificates, the authority that issues them.

Knows: digests of tokens, the identity in a certificate, TLS contexts.
Never: what a role may do (room management), sockets.
"""
