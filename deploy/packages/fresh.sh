#!/usr/bin/env bash
# Usage: fresh.sh VERSION [LIMIT]
#
# The first day on a fresh Debian: makes one with debootstrap, installs the deb of "make
# packages" there, and does what README.md and docs/ say until a consumer has verified the
# loss of agents: in their own words, which it looks up there, and with the time of each step.
# All of it may take LIMIT seconds, 600 by default. As root; nothing outside of its own
# directory and namespaces is changed.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
	printf 'fresh.sh: %s\n' "$*" >&2
	exit 1
}

limit=${2:-600}
deb=dist/pulse_$1_$(dpkg --print-architecture).deb
[ -e "$deb" ] || fail "no $deb: run make packages first"
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root

# Whoever follows the documentation has a NATS server, and for the consumer Go.
go build -o "$work/" github.com/nats-io/nats-server/v2
go build -o "$work/consumer" ./docs/consumers/go

began=$SECONDS
printf -- '-- a fresh Debian\n'
if ! debootstrap --variant=minbase --include=sudo,iproute2 bookworm "$root" >"$work/debootstrap" 2>&1; then
	tail -n 5 "$work/debootstrap" >&2
	fail "debootstrap does not make a Debian"
fi
printf -- '-- %ds\n' $((SECONDS - began))

mkdir -p "$root/root/dist" "$root/usr/local/bin"
echo "127.0.0.1 localhost $(hostname)" >"$root/etc/hosts"
cp "$deb" "$root/root/dist/"
cp "$work/nats-server" "$work/consumer" "$root/usr/local/bin/"
cp README.md docs/*.md "$root/root/"
cp "$(dirname "$0")/fresh-inside.sh" "$root/root/"
# With namespaces of its own: no port is taken, and all that runs in it ends with it.
unshare --mount --net --pid --fork --kill-child chroot "$root" /bin/bash -c \
	'mount -t proc proc /proc && ip link set lo up && cd /root && exec bash fresh-inside.sh' || fail "a step has failed"
took=$((SECONDS - began))
printf -- '-- good: from a fresh Debian to verified messages in %ds\n' $took
[ $took -le "$limit" ] || fail "that is more than ${limit}s"
