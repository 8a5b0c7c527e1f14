#!/bin/sh
# rootfs.sh ROOT SOURCE: what docker/aether-node/Dockerfile builds, as a plain root file system in the folder ROOT, without
# a container engine. SOURCE is the folder of the project, or a wheel of it. Needs root, debootstrap, and a Python with pip
# of the version of the image (PYTHON, else python3.11). Packages of Debian come from where apt of this machine gets them.
#   BASE   a folder that debootstrap has filled before: copied instead
#   SUITE  of Debian [bookworm]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=${1:?say where to: rootfs.sh ROOT SOURCE}
source=${2:?say what to install: the folder of the project, or a wheel}
suite=${SUITE:-bookworm}
PYTHON=${PYTHON:-python3.11}
export PYTHON
[ ! -e "$root" ] || { echo "$root is there already" >&2; exit 2; }

# base: Debian and its Python
if [ -n "${BASE:-}" ]; then
  cp -a "$BASE" "$root"
else
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $suite" | head -n 1)
  [ -n "$mirror" ] || { echo "apt of this machine knows no source of $suite" >&2; exit 2; }
  debootstrap --variant=minbase --include=python3 "$suite" "$root" "$mirror" > "$root.log" 2>&1 ||
    { tail -n 20 "$root.log" >&2; exit 1; }
fi

# wheels, with the Python of this machine
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sh "$here/steps/wheels.sh" "$source" "$work/wheels"

# install, in the root itself; the wheels do not stay
mkdir "$root/wheels" "$root/steps"
cp "$work"/wheels/*.whl "$root/wheels/"
cp "$here"/steps/*.sh "$root/steps/"
chroot "$root" sh /steps/install.sh /wheels
chroot "$root" sh /steps/user.sh
rm -r "$root/wheels" "$root/steps"
cp "$here/aether-node/healthcheck.py" "$root/opt/aether/healthcheck.py"
