#!/usr/bin/env bash
# The HTTP/2 conformance suite h2spec against the client port of one member.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

VERSION=v2.2.1+incompatible
export GOBIN="$PWD/.interop/bin"
export PATH="$PWD/.venv/bin:$GOBIN:$PATH"

if ! command -v h2spec >/dev/null; then
  if ! command -v go >/dev/null; then
    echo "missing: h2spec, and go to build it"
    exit 77
  fi
  go install "github.com/summerwind/h2spec/cmd/h2spec@$VERSION" || { echo "missing: the Go module proxy"; exit 77; }
fi

directory=$(mktemp -d)
port=$(python -c 'from tests.support.ports import free_base_port; print(free_base_port(1))')
kvstore local up -n 1 --detach --dir "$directory" --base-port "$port"
trap 'kvstore local stop --dir "$directory"; kvstore local rm --yes --dir "$directory"' EXIT
h2spec --host 127.0.0.1 --port "$port" --timeout 5
