#!/bin/sh
# Renew requirements.lock and requirements-run.lock from pyproject.toml (docs/decisions/0001-hash-pinned-lock.md).
# Pins that still fit stay; `sh tools/lock.sh --upgrade` takes the newest of everything.
set -eu
cd -- "$(dirname -- "$0")/.."
uv=$(sh tools/uv.sh)
compile() { "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url "$@" pyproject.toml; }
compile --group dev --output-file requirements.lock "$@"
# What the image needs is part of what was tested: the same versions, less the development group.
rm -f requirements-run.lock
compile --constraint requirements.lock --output-file requirements-run.lock
