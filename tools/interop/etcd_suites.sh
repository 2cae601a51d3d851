#!/usr/bin/env bash
# etcd's own black-box suites (tests/common and tests/e2e) against programs of ours.
#
# The tests are compiled from etcd's module and kept, with a copy of its fixtures, in
# KVSTORE_INTEROP_CACHE (default: kvstore-interop in the user's cache directory). They start `etcd`,
# `etcdctl` and `etcdutl` from a directory: here, launchers of kvstored and kvstorectl. With
# KVSTORE_SUITES_ETCDCTL=real, etcdctl is the real one: many tests have deadlines of 10 s in which
# dozens of commands are started, which a busy machine does not do with a program in Python.
# What is not run stands in etcd_suites/not_run.tsv, each with its cause. Logs go to the directory
# KVSTORE_SUITES_LOGS. Arguments: a pattern of suite/Test, for a part.
# Exit status: 0 all passed, 1 a test failed, 77 it cannot be built (the reason is printed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

module=tools/interop/etcd_suites
python=${PYTHON:-$PWD/.venv/bin/python}
version=$(sed -n 's|.*go.etcd.io/etcd/tests/v3 v\([0-9.]*\).*|\1|p' "$module/go.mod")
cache=${KVSTORE_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvstore-interop}/etcd-$version
suites=$cache/suites

missing() {
  echo "missing: $1"
  exit 77
}

build() {
  local suite=$1
  [[ -x $suites/$suite.test ]] && return
  command -v go >/dev/null || missing "go, to build etcd's tests $version"
  echo "etcd_suites: building $suite $version, once" >&2
  mkdir -p "$suites"
  # Into a name of its own first: an interrupted build leaves nothing that looks finished.
  nice -n 19 go test -C "$module" -mod=mod -c -tags e2e -o "$suites/$suite.new" \
    "go.etcd.io/etcd/tests/v3/$suite" >&2 ||
    missing "the Go module proxy, or a Go new enough for $module/go.mod"
  mv "$suites/$suite.new" "$suites/$suite.test"
}

build common
build e2e
if [[ ! -d $suites/tests ]]; then
  source=$(go mod download -json "go.etcd.io/etcd/tests/v3@v$version" |
    sed -n 's|.*"Dir": "\(.*\)",|\1|p') || missing "etcd's tests $version"
  cp -r "$source" "$suites/tests.new"
  chmod -R u+w "$suites/tests.new"
  mv "$suites/tests.new" "$suites/tests"
fi

programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
launcher() {
  # The suites' processes see nothing of the environment but PATH and etcd's variables.
  printf '#!/bin/sh\nPYTHONPATH=%q exec %q -m %s "$@"\n' "$PWD" "$python" "$2" >"$programs/$1"
  chmod +x "$programs/$1"
}
launcher etcd kvstore.cli.server
launcher etcdutl kvstore.cli.control
if [[ ${KVSTORE_SUITES_ETCDCTL:-ours} == real ]]; then
  [[ -x $cache/etcdctl ]] || missing "a real etcdctl: tools/interop/etcd36.sh builds it"
  ln -s "$cache/etcdctl" "$programs/etcdctl"
else
  launcher etcdctl kvstore.cli.control
fi

"$python" "$module/run.py" --binaries "$suites" --sources "$suites/tests" --programs "$programs" \
  --logs "${KVSTORE_SUITES_LOGS:-$(mktemp -d)}" --not-run "$module/not_run.tsv" "$@"
