"""Files that run a cluster elsewhere: for containers, for Kubernetes, for systemd, for this machine.

Knows: what those systems read, and what a node needs of them.
Never: writes a file, asks anybody, holds a secret: keys are made by `aether ca` where the files are used.
Holds: what is generated listens beyond loopback with TLS, or says --insecure aloud, as a node itself demands.
"""
