#!/bin/sh
# Make what was unpacked into ROOT/opt/holdall/lib/python3.11/site-packages ready to run: without what developers need,
# compiled, writable for nobody. Used by Dockerfile and rootfs.sh alike, once for the locked packages and once for ours.
#
#   application.sh ROOT [PACKAGE ...]     only these packages; all of them without any
set -eu
root=${1%/}
shift
home=/opt/holdall
site=$home/lib/python3.11/site-packages
[ $# -gt 0 ] || set -- .
# Clients' scripts, which pip and uv put here with --target, would not run from this place.
rm -rf "$root$site/bin"
for package in "$@"; do
    find "$root$site/$package" \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -delete
    find "$root$site/$package" -depth -type d \( -name tests -o -name __pycache__ \) -exec rm -rf {} +
done

# A virtual environment in the layout of PEP 405, so that nothing of the system's own packages is seen.
mkdir -p "$root$home/bin"
printf 'home = /usr/bin\ninclude-system-site-packages = false\n' >"$root$home/pyvenv.cfg"
ln -sfn /usr/bin/python3.11 "$root$home/bin/python3"
cat >"$root$home/bin/holdall" <<'PYTHON'
#!/opt/holdall/bin/python3
import sys

from driver.__main__ import main

sys.exit(main())
PYTHON
chmod 0755 "$root$home/bin/holdall"
# `kubectl exec POD -- holdall` and people find it without a PATH of ours.
ln -sfn "$home/bin/holdall" "$root/usr/local/bin/holdall"

# Unchecked: nobody can change the sources of a read-only root, and looking at them costs start-up.
for package in "$@"; do
    chroot "$root/" "$home/bin/python3" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$site/$package"
done
chown -R 0:0 "$root$home"
chmod -R a+rX,go-w "$root$home"
# Mount points: a read-only root can grow none later.
mkdir -p "$root/var/lib/holdall" "$root/var/lib/kubelet" "$root/run/holdall" "$root/run/udev" "$root/run/lock" "$root/etc/holdall"
