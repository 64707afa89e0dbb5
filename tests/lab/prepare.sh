#!/bin/sh
# Installs what the lab needs on the host, and only what is missing: apt-get is slow even when it has nothing to do.
set -eu

missing=
need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

PATH=$PATH:/usr/sbin:/sbin
need debootstrap debootstrap
need systemd-nspawn systemd-container
need ip iproute2
need nsenter util-linux
need losetup mount
need mkfs.ext4 e2fsprogs

[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "prepare.sh: not root; install these by hand:$missing" >&2; exit 1; }
command -v apt-get >/dev/null 2>&1 || { echo "prepare.sh: no apt-get here; install these by hand:$missing" >&2; exit 1; }

echo "lab: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Word splitting is meant: one word a package.
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null
