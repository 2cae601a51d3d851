#!/bin/sh
# Run every h2spec case (RFC 9113 and HPACK) against our HTTP/2 server core.
#
# Needs h2spec: on the PATH, named by H2SPEC, or built here with Go. Exit status: 0 all cases
# passed, 1 some failed, 77 h2spec is missing and cannot be built (the reason is printed).
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cache=${KVSTORE_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvstore-interop}
python=${PYTHON:-$root/.venv/bin/python}

missing() {
    echo "h2spec: skipped: $1" >&2
    exit 77
}

# Where the module proxy does not have 2.6.0 an older release serves; it predates Go modules, so a
# module that names its dependencies is made around it.
build() {
    command -v go >/dev/null || missing "not installed, and there is no Go to build it with"
    mkdir -p "$cache/bin"
    echo "h2spec: building into $cache/bin" >&2
    if GOBIN="$cache/bin" go install github.com/summerwind/h2spec/cmd/h2spec@v2.6.0 2>"$cache/log"
    then
        return
    fi
    work=$(mktemp -d)
    (
        cd "$work"
        printf 'module interop\n\ngo 1.21\n' >go.mod
        go get github.com/summerwind/h2spec@v2.2.1+incompatible github.com/spf13/cobra@v1.8.1
        GOBIN="$cache/bin" go install github.com/summerwind/h2spec/cmd/h2spec
    ) 2>>"$cache/log" || { cat "$cache/log" >&2; missing "the build failed"; }
    rm -rf "$work"
}

h2spec=${H2SPEC:-$(command -v h2spec || true)}
if [ -z "$h2spec" ]; then
    h2spec=$cache/bin/h2spec
    [ -x "$h2spec" ] || build
fi

cd "$root"
ready=$(mktemp)
"$python" -m tests.support.echo_server >"$ready" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$ready"' EXIT INT TERM
tries=0
until [ -s "$ready" ]; do
    tries=$((tries + 1))
    [ "$tries" -le 100 ] || { echo "h2spec: our server did not start" >&2; exit 1; }
    sleep 0.1
done

# h2spec exits 0 even when cases fail in some versions: its last line is what counts.
report=$("$h2spec" --host 127.0.0.1 --port "$(cat "$ready")" --timeout 3 "$@" 2>&1) || true
echo "$report" | sed -n '/^Failures:/,$p'
summary=$(echo "$report" | tail -n 1)
echo "h2spec: $summary"
case $summary in
*" 0 failed"*) exit 0 ;;
*) exit 1 ;;
esac
