#!/usr/bin/env bash
# The real kube-controller-manager, kube-scheduler and kubectl, built with Go, around our API server.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

programs=$(tools/build_kubernetes.sh kube-controller-manager kube-scheduler kubectl) || exit $?
KVSTORE_KUBERNETES=$programs PATH="$PWD/.venv/bin:$PATH" \
  python -m pytest -q -p no:cacheprovider tests/interop/test_kube_control_plane.py "$@"
