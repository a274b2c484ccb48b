#!/usr/bin/env bash
# The one list of Debian 12 packages, by purpose, and how they are installed. Used by quickstart.sh and test/run.sh.
#
#   deploy/packages.sh list GROUP...      prints the packages of the groups
#   deploy/packages.sh install GROUP...   installs what is missing (root); does nothing and needs no network when all is there
#
# Groups: build (compile Bulkhead), run (what the programs need at run time), tour (what quickstart's tour tries),
# test (every suite, the guests and the linters).
set -euo pipefail

readonly build_packages=(
  g++ cmake ninja-build ccache lld pkg-config clang-14 bpftool libbpf-dev libmnl-dev linux-libc-dev
  libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev grpc-proto libabsl-dev
  libssl-dev libpqxx-dev libpq-dev libspdlog-dev libcli11-dev libyaml-cpp-dev prometheus-cpp-dev
  catch2
)
readonly run_packages=(postgresql iproute2 openssl)
readonly tour_packages=(iproute2 iputils-ping procps)
readonly test_packages=(
  qemu-system-x86 seabios lz4 busybox-static dash kmod
  python3 nftables iproute2 iputils-ping wireguard-tools util-linux procps systemd perl btrfs-progs e2fsprogs squashfs-tools
  libclang-rt-14-dev clang-format-14 jq haproxy pgbouncer
)

packages_of() {
  local group
  for group in "$@"; do
    case "$group" in
      build) printf '%s\n' "${build_packages[@]}" ;;
      run) printf '%s\n' "${run_packages[@]}" ;;
      tour) printf '%s\n' "${tour_packages[@]}" ;;
      test)
        printf '%s\n' "${test_packages[@]}"
        # Another source of Node.js than Debian's brings npm along and conflicts with Debian's package.
        command -v npm >/dev/null || echo npm
        ;;
      *)
        echo "packages.sh: unknown group '$group'; there are build, run, tour and test" >&2
        return 2
        ;;
    esac
  done | sort -u
}

is_installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

# Without this, Debian's postgresql package starts a server for all to use; Bulkhead starts a private one where it needs one.
forbid_default_cluster() {
  local file=/etc/postgresql-common/createcluster.conf
  [ -e "$file" ] && return
  mkdir -p "${file%/*}"
  echo "create_main_cluster = false" > "$file"
}

install_groups() {
  local wanted package missing=()
  wanted=$(packages_of "$@")
  for package in $wanted; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    echo "packages.sh: these packages are missing and only root can install them: ${missing[*]}" >&2
    return 1
  fi
  forbid_default_cluster
  echo "installing: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null
}

case "${1:-}" in
  list) shift && packages_of "$@" ;;
  install) shift && install_groups "$@" ;;
  *)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
