#!/bin/sh
# make check-trixie: a Debian 13 root (made once, kept in the cache), the packages of debian.txt in it, and
# there the build and the unit tests. Needs root: chroot. Nothing of this machine is changed.
set -eu
cache=${TALARIA_CACHE:-${HOME:-/root}/.cache/talaria}
root=$PWD/build/trixie
[ "$(id -u)" -eq 0 ] || { echo "check-trixie needs root (chroot)" >&2; exit 1; }
common/build/deps.sh trixie

mkdir -p "$cache"
if [ ! -s "$cache/trixie.tar" ]; then
    echo "  trixie making a Debian 13 root (once, 15 s)"
    mmdebstrap --quiet --variant=minbase --include=ca-certificates --format=tar trixie "$cache/trixie.tar.part"
    mv "$cache/trixie.tar.part" "$cache/trixie.tar"
fi
if [ ! -e "$root/unpacked" ]; then
    rm -rf --one-file-system "$root"
    mkdir -p "$root"
    tar -xf "$cache/trixie.tar" -C "$root"
    touch "$root/unpacked"
fi
# the tree, with its times: the build in the root goes on where it was
mkdir -p "$root/src"
find "$root/src" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
git ls-files -co --exclude-standard -z | xargs -0 ls -d 2>/dev/null | tar -cf - -T - | tar -xf - -C "$root/src"
cp /etc/resolv.conf "$root/etc/resolv.conf"

# own namespaces: whatever is mounted or left running there is gone at the end
exec unshare --mount --pid --fork --kill-child sh -euc '
    mount -t proc proc "$1/proc"
    mount -t tmpfs tmpfs "$1/dev/shm" 2>/dev/null || true
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 chroot "$1" sh -euc "
        cd /src
        common/build/deps.sh build run test
        make -j\$(nproc) VARIANT=check all unit-programs
        make VARIANT=check unit"' sh "$root"
