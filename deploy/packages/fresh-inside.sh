#!/usr/bin/env bash
# The part of fresh.sh that runs on the fresh Debian.
set -euo pipefail

fail() {
	printf 'fresh.sh: %s\n' "$*" >&2
	tail -n 30 ./*.log >&2 2>/dev/null || true
	exit 1
}

# do_as FILE COMMAND runs a command that FILE has in these words.
do_as() {
	grep -qF -- "$2" "$1" || fail "$1 does not have: $2"
	run "$2"
}

run() {
	local began=$SECONDS
	printf '\n$ %s\n' "$1"
	eval "$1" || fail "$1: exit code $?"
	printf -- '-- %ds\n' $((SECONDS - began))
}

# wait_for runs a command until it succeeds.
wait_for() {
	local began=$SECONDS
	for _ in $(seq 600); do
		if eval "$1" >/dev/null 2>&1; then
			printf -- '-- after %ds: %s\n' $((SECONDS - began)) "$1"
			return
		fi
		sleep 0.1
	done
	fail "not within a minute: $1"
}

do_as README.md 'sudo dpkg -i dist/pulse_*_amd64.deb'

# A NATS server.
run 'pulse provision nats --operator Example --node node01 --host 127.0.0.1'
do_as nats.md 'nats-server -c nats/server/nats-server.conf &' 2>nats.log
wait_for 'grep -q "Server is ready" nats.log'
do_as nats.md 'pulse provision nats --apply'

# The node: its NATS settings, and agents.
run 'cd nats/nodes'
grep -qF 'install -d -m 0755 /var/ossec/etc/pulse.d && cp -r node01/. /var/ossec/etc/' ../../nats.md || fail 'nats.md carries the files in another way'
run 'install -d -m 0755 /var/ossec/etc/pulse.d && cp -r node01/. /var/ossec/etc/'
run 'cd ../..'
do_as nats.md 'chgrp pulse /var/ossec/etc/pulse-nats.* && chmod 640 /var/ossec/etc/pulse-nats.*'
for i in $(seq 10); do
	printf '%03d web-%02d any %064d\n' "$i" "$i" "$i"
done >client.keys
run 'install -m 0640 -g pulse client.keys /var/ossec/etc/client.keys'

do_as README.md 'sudo setpriv --reuid pulse --regid pulse --init-groups pulse doctor'
# There is no systemd in a chroot: what the unit starts, as the user that it names.
grep -qF 'sudo systemctl enable --now pulse' README.md || fail 'the README starts the service in another way'
unit=/usr/lib/systemd/system/pulse.service
command=$(sed -n 's/^ExecStart=//p' $unit)
user=$(sed -n 's/^User=//p' $unit)
install -d -o "$user" -g "$user" -m 0700 "/var/lib/$(sed -n 's/^StateDirectory=//p' $unit)"
printf '\n$ %s   # in the place of systemctl enable --now pulse\n' "$command"
setpriv --reuid "$user" --regid "$user" --init-groups $command 2>pulse.log &
wait_for 'pulse status'
do_as README.md 'pulse status'

do_as nats.md 'pulse sim --keys client.keys --manager 127.0.0.1:1514' >sim.log 2>&1 &
wait_for 'pulse status | grep -q "10 active"'
do_as README.md 'pulse agents'
run 'pulse agent 001'
run 'pulse ping 001'

# Those who read: the command line, by the README, and the consumer of docs/consumers/go.
grep -qF 'sudo -u pulse pulse keys export > public.jwks && pulse events --verify --keys public.jwks' README.md || fail 'the README exports the keys in another way'
run 'sudo -u pulse pulse keys export > public.jwks'
grep -qF 'pulse events --verify --keys public.jwks --server tls://xdr-nats:4222 --creds xdr.creds --tls-ca ca.crt' README.md || fail 'the README reads messages in another way'
reader=nats/readers/xdr
login="--server tls://127.0.0.1:4222 --creds $reader/xdr.creds --tls-ca $reader/ca.crt"
printf '\n$ %s\n' "pulse events --verify --keys public.jwks $login &" "consumer --durable xdr --keys public.jwks $login &"
pulse events --verify --keys public.jwks $login >events.log 2>&1 &
consumer --durable xdr --keys public.jwks $login >consumer.log 2>&1 &
wait_for '[ "$(grep -c ": active" consumer.log)" = 10 ]'
wait_for 'grep -q following events.log'
printf '\nall agents are killed\n'
kill -KILL $(grep -alz '^sim$' /proc/[0-9]*/cmdline | cut -d/ -f3)
wait_for '[ "$(grep -c ": disconnected" consumer.log)" = 10 ]'
wait_for '[ "$(grep -c "status_change.*disconnected" events.log)" = 10 ]'
grep -h 'connection_lost' consumer.log events.log
! grep -iE 'refused|bad signature' consumer.log events.log || fail 'messages were refused'
