#!/usr/bin/env bash
# Fetches Debian's cloud kernels for the guests and unpacks them, without installing them on this machine.
#
#   test/vm/kernels.sh DIRECTORY
#
# Leaves DIRECTORY/6.1 and DIRECTORY/6.12, each with vmlinuz, a file `release` and lib/modules/RELEASE. What is there already
# stays: a newer kernel is fetched only after the directory was removed, so that a run can be repeated without a network.
set -euo pipefail

readonly -A meta_packages=([6.1]=linux-image-cloud-amd64 [6.12]=linux-image-6.12-cloud-amd64)

# The versioned package that a meta package stands for, such as linux-image-6.1.0-56-cloud-amd64.
versioned_package() {
  apt-cache depends "$1" | awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }'
}

unpack_kernel() {
  local series=$1 directory=$2 package
  if [ -z "$(versioned_package "${meta_packages[$series]}")" ]; then apt-get update -qq; fi
  package=$(versioned_package "${meta_packages[$series]}")
  if [ -z "$package" ]; then
    echo "kernels.sh: apt knows no package behind ${meta_packages[$series]}; are bookworm and bookworm-security in the sources?" >&2
    return 1
  fi
  echo "fetching guest kernel $series: $package"
  scratch=$(mktemp -d "$directory.XXXXXX")
  trap 'rm -rf "${scratch:-}"' EXIT
  # As root, because apt's unprivileged user may not write below our directory.
  (cd "$scratch" && apt-get download -qq -o APT::Sandbox::User=root "$package" && dpkg-deb -x ./*.deb tree)
  local release=${package#linux-image-}
  mv "$scratch/tree/boot/vmlinuz-$release" "$scratch/vmlinuz"
  mv "$scratch/tree/lib" "$scratch/lib"
  echo "$release" > "$scratch/release"
  depmod --basedir "$scratch" "$release"
  rm -rf "$scratch/tree" "$scratch"/*.deb
  mv "$scratch" "$directory"
}

main() {
  local target=$1 series
  mkdir -p "$target"
  for series in "${!meta_packages[@]}"; do
    [ -e "$target/$series/release" ] || unpack_kernel "$series" "$target/$series"
  done
}

if [ $# -ne 1 ]; then
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
main "$1"
