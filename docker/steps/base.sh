#!/bin/sh
# What every stage stands on: Debian and its Python, nothing that builds. Step of docker/aether-node/Dockerfile.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends python3
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
