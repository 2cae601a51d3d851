#!/usr/bin/env bash
# Our JSON and protobuf forms of every kind beside those of Kubernetes' own round-trip tests, which
# the Go module k8s.io/api keeps.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=$(sed -n 's/^RELEASE = "\(v0.*\)"/\1/p' tools/generate_go_fields.py)
missing() {
  echo "missing: $1"
  exit 77
}
command -v go >/dev/null || missing go
module=$(go mod download -json "k8s.io/api@$version" | sed -n 's|.*"Dir": "\(.*\)",|\1|p') ||
  missing "k8s.io/api $version at the Go module proxy"
KVSTORE_KUBERNETES_TESTDATA="$module/testdata/HEAD" \
  .venv/bin/python -m pytest -q -p no:cacheprovider tests/interop/test_kube_wire.py
