#!/usr/bin/env bash
# Build the real Kubernetes programs, once, and print the directory they are in.
#
# Everything comes through the Go module proxy: the module k8s.io/kubernetes replaces its libraries by
# folders of its own repository, and each of those is published as a module of the same release, so
# one `replace` a library makes it build. KUBERNETES_VERSION chooses the release (1.33 by default);
# the programs stay in KVSTORE_INTEROP_CACHE (default: kvstore-interop in the user's cache directory).
# Arguments: the programs wanted, by default all four.
# Exit status: 0 built, 77 it cannot be built (the reason is printed).
set -euo pipefail

version=${KUBERNETES_VERSION:-1.33.13}
cache=${KVSTORE_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvstore-interop}/kubernetes-$version
programs=("$@")
((${#programs[@]})) ||
  programs=(kube-apiserver kube-controller-manager kube-scheduler kubectl)

missing() {
  echo "missing: $1" >&2
  exit 77
}

all_built() {
  local program
  for program in "${programs[@]}"; do
    [[ -x $cache/$program ]] || return 1
  done
}

# A module of our own that requires Kubernetes, with its libraries at the same release.
write_module() {
  local module=$1 library downloaded
  downloaded=$(go mod download -json "k8s.io/kubernetes@v$version") ||
    missing "k8s.io/kubernetes $version at the Go module proxy"
  cp "$(sed -n 's|.*"GoMod": "\(.*\)",|\1|p' <<<"$downloaded")" "$module/kubernetes.mod"
  (
    cd "$module"
    go mod init kvstore.interop/kubernetes 2>/dev/null
    go mod edit -require "k8s.io/kubernetes@v$version"
    sed -n 's|^[[:space:]]*\(k8s.io/[a-z-]*\) => ./staging/.*|\1|p' kubernetes.mod |
      while read -r library; do
        go mod edit -replace "$library=$library@v0.${version#1.}"
      done
  )
}

build() {
  local program=$1 module=$2 package flags
  [[ -x $cache/$program ]] && return
  echo "building $program $version, once" >&2
  flags="-s -w"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=v$version -X $package.gitMajor=1"
    flags+=" -X $package.gitMinor=$(cut -d . -f 2 <<<"$version")"
  done
  # Into a name of its own first: an interrupted build leaves nothing that looks finished.
  go build -C "$module" -mod=mod -trimpath -ldflags "$flags" -o "$cache/$program.new" \
    "k8s.io/kubernetes/cmd/$program" >&2 || missing "what $program $version needs to build"
  mv "$cache/$program.new" "$cache/$program"
}

if ! all_built; then
  command -v go >/dev/null || missing "go, to build Kubernetes $version"
  mkdir -p "$cache"
  module=$(mktemp -d)
  trap 'rm -rf "$module"' EXIT
  write_module "$module"
  for program in "${programs[@]}"; do
    build "$program" "$module"
  done
fi
echo "$cache"
