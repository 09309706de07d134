#!/bin/sh
# Make this checkout runnable on a Debian-like machine that has python3 (3.11 or newer) and the Debian package registry.
#
#   sh tools/setup.sh           system packages, .venv with the locked environment, and the project itself
#   sh tools/setup.sh sanity    the same, csi-sanity in .cache/bin and promtool in .cache/promtool
#   sh tools/setup.sh bench     the same, and fio
#
# Whatever is there already is left alone, so a second run takes a fraction of a second and no network.
set -eu
cd -- "$(dirname -- "$0")/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# CI and service managers may leave HOME out; pip, uv and Go all put their caches there.
if [ -z "${HOME:-}" ]; then
    HOME=$(getent passwd "$(id -u)" | cut -d : -f 6)
    [ -d "$HOME" ] || HOME=$PWD/.cache/home
fi
export HOME PATH
python=${PYTHON:-python3}
with=${1:-}

say() { echo "setup: $*"; }
die() { say "$*" >&2; exit 1; }

case $with in ''|sanity|bench) ;; *) die "unknown argument '$with'; wanted sanity, bench or nothing" ;; esac

# --- system packages -----------------------------------------------------------------------------------------------

missing=
reasons=
need() { # PACKAGE REASON: noted as missing
    missing="$missing $1"
    reasons="$reasons
setup:   $1: $2"
}
program() { # PROGRAM PACKAGE REASON
    command -v "$1" >/dev/null 2>&1 || need "$2" "$3"
}
library() { # FILE PACKAGE REASON
    for directory in /lib /usr/lib /lib64 /usr/lib64 /lib/*-linux-gnu* /usr/lib/*-linux-gnu*; do
        [ -e "$directory/$1" ] && return
    done
    need "$2" "$3"
}

program "$python" python3 "everything here is Python"
program mkfs.ext4 e2fsprogs "ext4 volumes: make, check, grow, new UUID"
program mkfs.xfs xfsprogs "xfs volumes and the default pool"
program mkfs.btrfs btrfs-progs "btrfs pools and volumes"
program blkid util-linux "is a device empty?"
program losetup mount "loop devices by hand, mount(8)"
program fusermount3 fuse3 "to unmount FUSE filesystems"
program bindfs bindfs "tests with a FUSE filesystem that stops answering or is killed"
program ps procps "to look at processes when a test leaves some"
program git git "which commit was proven; which files are tracked"
program openssl openssl "a node's key and certificate request"
library libudev.so.1 libudev1 "device events"
[ "$with" != bench ] || program fio fio "IO through a volume against IO without one"
if [ "$with" = sanity ]; then
    program mmdebstrap mmdebstrap "the image's root filesystem, without a container engine"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || need ca-certificates "Go fetches csi-sanity's modules over TLS"
fi
if ! { [ -x .venv/bin/python ] || [ -x .cache/uv/bin/uv ] || uv --version >/dev/null 2>&1; }; then
    "$python" -c 'import venv, ensurepip' 2>/dev/null || need python3-venv "to install uv where there is none"
fi

if [ -n "$missing" ]; then
    say "system packages are missing:$reasons"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null 2>&1 || die "not root and no sudo; install these first:$missing"
        as_root=sudo
    fi
    command -v apt-get >/dev/null 2>&1 || die "no apt-get here; install the equivalents of these first:$missing"
    # shellcheck disable=SC2086 # a list of package names
    apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null >&2; }
    apt update || say "apt-get update failed; going on with the package lists that are there" >&2
    # shellcheck disable=SC2086
    apt install -y --no-install-recommends $missing || die "apt-get could not install:$missing"
    say "installed:$missing"
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$("$python" --version) is too old; 3.11 or newer is needed"

# --- Python environment --------------------------------------------------------------------------------------------

. tools/index.sh

# One process at a time; the lock goes when this script does.
mkdir -p .cache
exec 9>.cache/setup.lock
flock 9

# A virtual environment cannot be moved, so where it lies belongs to what was installed, like the lock itself.
stamp=.venv/.setup
state=$({ pwd; cat requirements.lock pyproject.toml; } | sha256sum)
if ! { [ "$(cat "$stamp" 2>/dev/null)" = "$state" ] && .venv/bin/python -c '' 2>/dev/null; }; then
    uv=$(PYTHON=$python sh tools/uv.sh)
    pip_settings
    say "the locked Python environment into .venv"
    .venv/bin/python -c '' 2>/dev/null || "$uv" venv --quiet --clear --python "$python" .venv
    "$uv" pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
    "$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
    # Python reads .pth files in the locale's encoding, and the driver starts its children in the C locale: written in
    # ASCII, the line works in a folder with any name.
    "$python" -c 'import sys; open(sys.argv[1], "w").write(f"import sys; sys.path.append({sys.argv[2]!a})\n")' \
        "$(echo .venv/lib/python3*/site-packages/_holdall.pth)" "$PWD"
    echo "$state" >"$stamp"
fi

# --- csi-sanity ----------------------------------------------------------------------------------------------------

[ "$with" = sanity ] || exit 0
sh tools/promtool.sh >/dev/null
sanity=v5.6.0
# Unmodified sources. protobuf-go's own tag makes it encode without noting sizes in the messages, which one case compares
# (docs/decisions/0002-csi-sanity-without-size-caches.md).
tag=protoreflect
binary=.cache/bin/csi-sanity
[ "$("$binary" -version 2>/dev/null)" != "Version = $sanity+$tag" ] || exit 0

# The tag makes one of its cases compare messages, not Go's size caches: docs/decisions/0002.
say "csi-sanity $sanity into .cache/bin (the CSI conformance tests; about a minute)"
mkdir -p .cache/bin
GOBIN="$PWD/.cache/bin" GOWORK=off CGO_ENABLED=0 PYTHON=$python sh tools/go.sh install \
    -tags "$tag" -ldflags "-X main.VERSION=$sanity+$tag" "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@$sanity"
[ "$("$binary" -version)" = "Version = $sanity+$tag" ] || die "$binary is not csi-sanity $sanity"
