#!/usr/bin/env bash
# A real kube-apiserver, built with Go, with a cluster of ours over mutual TLS as its only store.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

programs=$(tools/build_kubernetes.sh kube-apiserver kubectl) || exit $?
KVSTORE_KUBERNETES=$programs PATH="$PWD/.venv/bin:$PATH" \
  python -m pytest -q -p no:cacheprovider -rP tests/interop/test_kube_apiserver.py "$@"
