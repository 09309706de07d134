#!/bin/sh
# Print the path of a promtool, unpacking Debian's into .cache/promtool first where PATH has none.
# Unpacked, not installed: the package would start a server here. What it does is said on stderr.
set -eu
cd -- "$(dirname -- "$0")/.."
if command -v promtool; then exit 0; fi
tool=$PWD/.cache/promtool/usr/bin/promtool
if [ ! -x "$tool" ]; then
    echo "setup: promtool from Debian's package prometheus into .cache/promtool (it checks the alert rules)" >&2
    rm -rf .cache/promtool
    mkdir -p .cache/promtool/deb
    # As root, apt says that its own user cannot read this directory, and goes on.
    (cd .cache/promtool/deb && apt-get -qq download prometheus >&2)
    dpkg-deb -x .cache/promtool/deb/prometheus_*.deb .cache/promtool
    rm -rf .cache/promtool/deb
fi
echo "$tool"
