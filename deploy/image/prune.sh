#!/bin/sh
# Take from the root filesystem ROOT what installs packages or serves people, not the driver: afterwards it is the image's.
# Used by Dockerfile and rootfs.sh alike.   usage: prune.sh ROOT
set -eu
root=${1%/}
# A chroot into / is allowed and changes nothing, so the two callers differ in nothing.
inside() { chroot "$root/" "$@"; }

# apt and what only it needed. What is left is still listed in dpkg's status, for scanners to read.
inside dpkg --purge --force-remove-protected --force-depends \
    apt libapt-pkg6.0 gpgv debian-archive-keyring adduser >/dev/null
rm -rf "$root/etc/apt" "$root/var/lib/apt" "$root/var/cache/apt"

# xfs_scrub alone needs Unicode's tables (36 MB), and nothing here starts it.
rm -f "$root"/usr/sbin/xfs_scrub* "$root"/usr/lib/*/libicu*.so.*
rm -rf "$root"/usr/lib/*/xfsprogs "$root"/usr/lib/systemd "$root"/lib/systemd "$root"/etc/systemd

# Python: compiled, without its tests and tools; ours writes no bytecode at run time, and here nothing could.
rm -rf "$root"/usr/lib/python3.11/lib2to3 "$root"/usr/lib/python3.11/pydoc_data "$root"/usr/lib/python3/dist-packages

# Conversions from and to all the world's encodings, timezones (a container's clock is UTC), logs and caches.
rm -rf "$root"/usr/lib/*/gconv "$root"/usr/share/zoneinfo "$root"/usr/share/i18n
find "$root/var/log" "$root/var/cache" "$root/tmp" "$root/run" -xdev -mindepth 1 ! -type d -delete
rm -f "$root"/var/lib/dpkg/*-old "$root"/etc/*-
