#!/bin/sh
# Print the path of a uv that works, installing the pinned one into .cache/uv first where PATH has none.
# Sourced by nobody: `uv=$(sh tools/uv.sh)`. What it does is said on stderr.
set -eu
cd -- "$(dirname -- "$0")/.."
version=0.13.9

# Not only `command -v`: a version manager's shim may stand on PATH with no uv behind it.
if uv --version >/dev/null 2>&1; then
    command -v uv
    exit 0
fi
uv=$PWD/.cache/uv/bin/uv
if [ "$("$uv" --version 2>/dev/null | cut -d ' ' -f 2)" != "$version" ]; then
    echo "setup: uv $version into .cache/uv (no uv on PATH; it installs the locked Python environment)" >&2
    rm -rf .cache/uv
    "${PYTHON:-python3}" -m venv .cache/uv >&2
    .cache/uv/bin/python -m pip install --quiet "uv==$version" >&2
fi
echo "$uv"
