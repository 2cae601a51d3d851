#!/usr/bin/env bash
# client-go's informer over 10,000 objects of our API server: connections cut, the past compacted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

program="$PWD/.interop/bin/kube_informer"
if ! command -v go >/dev/null; then
  echo "missing: go"
  exit 77
fi
go build -C tools/interop/kube_informer -o "$program" . ||
  { echo "missing: the Go module proxy"; exit 77; }
KVSTORE_KUBE_INFORMER=$program PATH="$PWD/.venv/bin:$PATH" \
  python -m pytest -q -s -p no:cacheprovider tests/interop/test_kube_informer.py "$@"
