# shellcheck shell=sh
# Sourced. uv does not read pip's settings. A machine that reaches its package index by them alone still has to work.
pip_settings() {
    setting() { "${python:-python3}" -m pip config get "global.$1" 2>/dev/null || :; }
    index=${PIP_INDEX_URL:-$(setting index-url)}
    cert=${PIP_CERT:-$(setting cert)}
    [ -z "$index" ] || [ -n "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="$index"
    [ -z "$cert" ] || [ -n "${SSL_CERT_FILE:-}" ] || export SSL_CERT_FILE="$cert"
    export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 UV_LINK_MODE="${UV_LINK_MODE:-copy}"
}
