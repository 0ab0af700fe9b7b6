#!/usr/bin/env bash
# Install the real servers and the browser that the end-to-end tests use, where they are missing.
#
# Debian's packages, installed as root, none of them started as a service; and the Orthanc of the next Debian release
# as a directory tree outside the source tree. What cannot be installed is a failure: nothing is skipped.
set -euo pipefail

TREE="${KEYHOLE_TEST_CACHE:-$HOME/.cache/keyhole}/orthanc-trixie"

# command that must exist -> package that brings it
declare -A NEEDED=(
  [/usr/bin/chromium]=chromium
  [/usr/sbin/Orthanc]=orthanc
  [/usr/share/orthanc/plugins/libOrthancDicomWeb.so]=orthanc-dicomweb
  [/usr/bin/pg_ctlcluster]=postgresql
  [/usr/sbin/nginx]=nginx
  [/usr/sbin/ip]=iproute2
  [/usr/sbin/pgbouncer]=pgbouncer
  [/usr/bin/wrk]=wrk
  [/usr/bin/dcmodify]=dcmtk
  [/usr/bin/7zz]=7zip
  [/usr/bin/unzip]=unzip
  [/usr/bin/mmdebstrap]=mmdebstrap
)

say() { printf 'test servers: %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Debian starts what it installs, and an archive open to everybody on its usual port is not wanted on anyone's machine.
# policy-rc.d (invoke-rc.d(8)) says no for as long as this script installs, unless the machine has a policy already.
without_services() {
  local policy=/usr/sbin/policy-rc.d made=no status=0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made=yes
  fi
  "$@" || status=$?
  if [ "$made" = yes ]; then as_root rm -f "$policy"; fi
  return "$status"
}

install_packages() {
  local missing=() file
  for file in "${!NEEDED[@]}"; do
    [ -e "$file" ] || missing+=("${NEEDED[$file]}")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  without_services as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

install_tree() {
  [ ! -x "$TREE/usr/sbin/Orthanc" ] || return 0
  # An archive keyring older than the next release cannot verify it; Debian updates it within the stable release.
  as_root apt-get update -qq
  without_services as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends debian-archive-keyring >/dev/null
  say "unpacking the next release's Orthanc into $TREE"
  local fresh="$TREE.new"
  as_root rm -rf "$fresh" "$TREE"
  mkdir -p "$(dirname "$TREE")"
  as_root mmdebstrap --quiet --variant=minbase --include=orthanc,orthanc-dicomweb trixie "$fresh"
  as_root mv "$fresh" "$TREE"
}

install_packages
install_tree
