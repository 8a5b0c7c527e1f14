#!/bin/sh
# install.sh WHEELS: the project in /opt/aether, out of a folder of wheels, without an index and without leaving pip behind.
set -eu
wheels=$1
python3 -m venv --without-pip /opt/aether
for pip in "$wheels"/pip-*.whl; do
  for project in "$wheels"/aether_runtime-*.whl; do
    # pip runs from its wheel, and installs into the other Python: none of it stays.
    PYTHONPATH="$pip" python3 -m pip --python /opt/aether/bin/python install --quiet --no-cache-dir --no-index \
      --find-links "$wheels" --no-compile --root-user-action ignore "$project[cli,fast,tls]"
  done
done
/opt/aether/bin/python -m compileall -q /opt/aether/lib # the root is read-only where it runs
/opt/aether/bin/aether --version
