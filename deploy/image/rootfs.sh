#!/bin/sh
# Build the image's root filesystem in OUT_DIR, without a container engine and without an image registry: the same
# packages from the same lists, through the same scripts, as the Dockerfile.   usage: sh deploy/image/rootfs.sh OUT_DIR
#
# As root, on a Debian-like machine with mmdebstrap and `make setup` done. Which mirror, which proxy: the machine's own
# apt says. What does not change with our sources is kept in HOLDALL_IMAGE_CACHE (default: ~/.cache/holdall-image), named
# by a hash of what it was made from; remove that directory to fetch newer packages of Debian.
set -eu
umask 022
cd -- "$(dirname -- "$0")/../.."
out=${1:?usage: rootfs.sh OUT_DIR}
case $out in /*) ;; *) echo "rootfs: $out is not an absolute path" >&2; exit 2 ;; esac
[ ! -e "$out" ] || { echo "rootfs: $out exists already" >&2; exit 2; }
suite=bookworm
cache=${HOLDALL_IMAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holdall-image}
site=opt/holdall/lib/python3.11/site-packages
mkdir -p "$cache"
say() { echo "rootfs: $*" >&2; }

# One builder at a time; the lock goes when this script does.
exec 9>"$cache/lock"
flock 9
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

digest() { cat "$@" | sha256sum | cut -c 1-16; }

# --- Debian --------------------------------------------------------------------------------------------------------

debian=$cache/debian-$(digest deploy/image/packages deploy/image/dpkg.cfg deploy/image/prune.sh)
if [ ! -d "$debian" ]; then
    say "Debian $suite with the packages of deploy/image/packages into $debian (one to two minutes)"
    # shellcheck disable=SC2016 # apt fills these in
    apt-get indextargets --format '$(ORIGIN)|deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        sed -n "s/^Debian|\\(deb [^ ]* $suite[^ ]* main\\)\$/\\1/p" | sort -u >"$work/sources"
    grep -q " $suite main" "$work/sources" ||
        { say "apt of this machine knows no Debian $suite main; add it to its sources"; exit 1; }
    apt-config dump | grep -E '^Acquire::(https?::|Retries|Check-Valid)' >"$work/apt.conf" || :
    packages=$(sed 's/#.*//' deploy/image/packages | tr -s ' \n' ',,' | sed 's/^,//; s/,$//')
    # The variant that Debian's own slim images have. Output of programs only matters when they fail.
    mmdebstrap --quiet --variant=minbase --include="$packages" \
        --aptopt="$work/apt.conf" --dpkgopt=deploy/image/dpkg.cfg "$suite" "$work/debian" - <"$work/sources" >&2
    sh deploy/image/prune.sh "$work/debian"
    rm -f "$work/debian/etc/resolv.conf" "$work/debian/etc/hostname" "$work/debian/etc/machine-id"
    mv "$work/debian" "$debian"
fi

# --- the locked packages -------------------------------------------------------------------------------------------

uv=$(sh tools/uv.sh)
. tools/index.sh
pip_settings
install() { # TARGET ARGUMENTS: as the image's Python, whatever this machine's is
    target=$1
    shift
    "$uv" pip install --quiet --python .venv/bin/python --target "$target" --python-version 3.11 --link-mode copy "$@"
}

locked=$cache/locked-$(digest requirements-run.lock deploy/image/application.sh deploy/image/packages deploy/image/dpkg.cfg deploy/image/prune.sh)
if [ ! -d "$locked" ]; then
    say "the locked Python packages into $locked"
    cp -a --reflink=auto "$debian" "$work/locked"
    install "$work/locked/$site" --only-binary :all: --require-hashes -r requirements-run.lock
    sh deploy/image/application.sh "$work/locked"
    mv "$work/locked" "$locked"
fi

# What no checkout has used for a month was made from lists that are no more.
touch "$debian" "$locked"
find "$cache" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +

# --- ours ----------------------------------------------------------------------------------------------------------

.venv/bin/python -m hatchling build --target wheel --directory "$work/dist" >/dev/null 2>&1
cp -a --reflink=auto "$locked" "$work/out"
install "$work/out/$site" --no-deps --no-index "$work"/dist/holdall-*.whl
sh deploy/image/application.sh "$work/out" driver csi
mkdir -p "$(dirname -- "$out")"
mv "$work/out" "$out"
say "$out: $(du -sm --apparent-size "$out" | cut -f 1) MB"
