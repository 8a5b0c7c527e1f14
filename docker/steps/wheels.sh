#!/bin/sh
# wheels.sh SOURCE DIR: the project and all that it needs as wheels, and pip itself to install them with.
# SOURCE is the folder of the project, or a wheel of it. Needs a Python of the version of the image, pip and an index.
set -eu
source=$1
wheels=$2
mkdir -p "$wheels"
if [ -d "$source" ]; then
  "${PYTHON:-python3}" -m pip wheel --quiet --no-deps --wheel-dir "$wheels" "$source"
else
  cp "$source" "$wheels/"
fi
for wheel in "$wheels"/aether_runtime-*.whl; do
  "${PYTHON:-python3}" -m pip download --quiet --only-binary :all: --dest "$wheels" "$wheel[cli,fast,tls]" pip
done
