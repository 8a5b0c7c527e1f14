#!/bin/sh
# Made by `aether generate docker`: yours to change; made again with --force.
# The authority of the cluster, once; for each node a certificate, anew at each start. Nodes renew theirs meanwhile.
set -eu
umask 077
authority=${AUTHORITY:-/authority}
nodes=${NODES:-/nodes}

[ -e "$authority/ca.key" ] || aether ca init --cluster aether --ca-dir "$authority"
for node in node-1 node-2 node-3; do
  tls="$nodes/$node/tls"
  if [ -e "$tls/node.pem" ]; then
    aether ca renew "$tls" --ca-dir "$authority"
  else
    rm -f "$tls/node.key" # of a start that was cut off
    aether ca issue "$node" --host "$node" --out "$tls" --ca-dir "$authority"
  fi
done
chown -R 10001:10001 "$authority" "$nodes"
