#!/usr/bin/env bash
# etcd's own Go client against a cluster of three.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export PATH="$PWD/.venv/bin:$PATH"
program="$PWD/.interop/bin/clientv3"

if ! command -v go >/dev/null; then
  echo "missing: go"
  exit 77
fi
go build -C tools/interop/clientv3 -o "$program" . || { echo "missing: the Go module proxy"; exit 77; }

directory=$(mktemp -d)
port=$(python -c 'from tests.support.ports import free_base_port; print(free_base_port(3))')
kvstore local up -n 3 --detach --dir "$directory" --base-port "$port"
trap 'kvstore local stop --dir "$directory"; kvstore local rm --yes --dir "$directory"' EXIT
"$program" "127.0.0.1:$port" "127.0.0.1:$((port + 10))" "127.0.0.1:$((port + 20))"
