#!/usr/bin/env bash
# A real etcd 3.6, server and client, beside ours.
#
# PyPI has 3.5.1 only, so both are built with Go from the module beside this script and kept in
# KVSTORE_INTEROP_CACHE (default: kvstore-interop in the user's cache directory). Then:
#   1. etcdctl 3.6 against each endpoint of a cluster of three, theirs and ours; kvstorectl beside it;
#   2. who may do what, locks and elections, JSON and HTTP;
#   3. generated operations into both, every answer compared (KVSTORE_DIFFERENTIAL_OPS, 20,000),
#      with one member and with three; over quota; without a quorum; hashes.
# Arguments go to pytest: `-k etcdctl`, for one part. KVSTORE_CANDIDATE=etcd tests the tests.
# Exit status: 0 all equal, 1 something differs, 77 it cannot be built (the reason is printed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

module=tools/interop/etcd36
python=${PYTHON:-$PWD/.venv/bin/python}
version=$(sed -n 's|.*go.etcd.io/etcd/server/v3 v\([0-9.]*\).*|\1|p' "$module/go.mod")
cache=${KVSTORE_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvstore-interop}/etcd-$version

missing() {
  echo "missing: $1"
  exit 77
}

# Into a name of its own first: an interrupted build leaves nothing that looks finished.
build() {
  local program=$1 package=$2
  [[ -x $cache/$program ]] && return
  command -v go >/dev/null || missing "go, to build $program $version"
  echo "etcd36: building $program $version, once" >&2
  mkdir -p "$cache"
  go build -C "$module" -o "$cache/$program.new" "$package" ||
    missing "the Go module proxy, or a Go new enough for $module/go.mod"
  mv "$cache/$program.new" "$cache/$program"
}

build etcd go.etcd.io/etcd/server/v3
build etcdctl go.etcd.io/etcd/etcdctl/v3

export KVSTORE_ETCD36=$cache KVSTORE_REFERENCE_ETCD=$cache/etcd KVSTORE_ETCDCTL=$cache/etcdctl
export KVSTORE_FULL=1
"$python" -m pytest -q -rsP -p no:cacheprovider "$@" \
  tests/interop \
  tests/conformance/test_differential.py \
  tests/conformance/test_hashkv.py \
  tests/conformance/test_quota.py \
  tests/conformance/test_auth_decisions.py \
  tests/conformance/test_gateway.py \
  tests/conformance/test_locks.py \
  tests/conformance/test_metrics.py \
  tests/conformance/test_without_quorum.py
