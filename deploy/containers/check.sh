#!/usr/bin/env bash
# Builds the image with buildah, which needs neither a daemon nor a registry, and runs what
# is in it, as its user and with mounted settings, until it is healthy. As root.
set -euo pipefail
cd "$(dirname "$0")/../.."

export BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker
work=$(mktemp -d)
tool() { buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run" "$@"; }
daemon=
cleanup() {
	[ -z "$daemon" ] || kill -- "-$daemon" 2>/dev/null || true
	wait
	tool rm --all >/dev/null 2>&1 || true
	for _ in $(seq 100); do # what ran in it may still be writing its last files
		rm -rf "$work" 2>/dev/null && return
		sleep 0.1
	done
	printf 'check.sh: %s cannot be removed\n' "$work" >&2
}
trap cleanup EXIT
fail() {
	printf 'check.sh: %s\n' "$*" >&2
	exit 1
}

make image ENGINE="buildah --storage-driver vfs --root $work/storage --runroot $work/run"
container=$(tool from pulse:latest)
[ "$(tool inspect --format '{{.OCIv1.Config.User}}' "$container")" = 65532:65532 ] || fail "the image runs as another user"
tool run "$container" -- /usr/bin/pulse version

echo '001 web-01 any 0123456789abcdef' >"$work/client.keys"
cat >"$work/pulse.conf" <<END
<ossec_config>
  <remote><port>20934</port><local_ip>127.0.0.1</local_ip></remote>
  <nats><listen>127.0.0.1:20942</listen></nats>
  <pulse><link>listen</link><http>127.0.0.1:20940</http></pulse>
</ossec_config>
END
chmod a+rx "$work"
chmod a+r "$work"/client.keys "$work"/pulse.conf
inside() {
	tool run --user 65532:65532 --volume "$work/pulse.conf:/var/ossec/etc/pulse.conf:ro" \
		--volume "$work/client.keys:/var/ossec/etc/client.keys:ro" "$container" -- /usr/bin/pulse "$@"
}
set -m # a group of its own, to be ended as one
inside run >"$work/log" 2>&1 &
daemon=$!
set +m
healthy=
for _ in $(seq 100); do
	inside status >"$work/status" 2>&1 && healthy=yes && break
	sleep 0.2
done
[ -n "$healthy" ] || fail "the container does not become healthy: $(cat "$work/status" "$work/log")"
cat "$work/status"
printf -- '-- good\n'
