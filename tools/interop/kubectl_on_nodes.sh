#!/usr/bin/env bash
# kubectl's verbs on running pods: exec, cp, attach, port-forward, rollout, describe.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

command -v "${KVSTORE_KUBECTL:-kubectl}" >/dev/null || { echo "missing: kubectl"; exit 77; }
KVSTORE_INTEROP=1 "${PYTHON:-.venv/bin/python}" -m pytest -q tests/interop/test_kubectl_on_nodes.py "$@"
