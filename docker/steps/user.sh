#!/bin/sh
# Who nodes run as, and what belongs to them: their state alone.
set -eu
echo 'aether:x:10001:' >> /etc/group
echo 'aether:x:10001:10001:aether:/var/lib/aether:/usr/sbin/nologin' >> /etc/passwd
mkdir -p /var/lib/aether /etc/aether
chown 10001:10001 /var/lib/aether
chmod 0700 /var/lib/aether
