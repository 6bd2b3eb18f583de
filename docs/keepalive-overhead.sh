#!/usr/bin/env bash
# What a keep-alive costs: processor time of the manager and of the agents, and
# bytes on their connections. A daemon with simulated agents runs twice, with a
# keep-alive a second to each agent and with none; the difference, by keep-alive,
# is the cost per agent and minute at the default interval of 60 s.
#
#     docs/keepalive-overhead.sh [AGENTS [SECONDS]]
set -euo pipefail
cd "$(dirname "$0")/.."
agents=${1:-1000} seconds=${2:-30}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
go build -o "$dir/pulse" ./cmd/pulse
for ((i = 1; i <= agents; i++)); do
	printf '%03d host-%d any %064x\n' "$i" "$i" "$i"
done >"$dir/client.keys"

# used PID: milliseconds of processor time, bytes written, bytes read.
used() {
	awk -v hz="$(getconf CLK_TCK)" '{ printf "%d ", ($14 + $15) * 1000 / hz }' "/proc/$1/stat"
	awk '/^wchar/ { w = $2 } /^rchar/ { r = $2 } END { print w, r }' "/proc/$1/io"
}

# measure INTERVAL NATS: sets manager_ms, agents_ms, up and down (the agents' bytes).
measure() {
	cat >"$dir/pulse.conf" <<-XML
		<ossec_config>
		  <remote><local_ip>127.0.0.1</local_ip><port>21514</port>
		    <manager_keepalive><interval>$1</interval><timeout>7200</timeout></manager_keepalive></remote>
		  <nats><enabled>$2</enabled><listen>127.0.0.1:21422</listen></nats>
		  <pulse><link>listen</link><client_keys>$dir/client.keys</client_keys><state_dir>$dir/state</state_dir><http></http></pulse>
		</ossec_config>
	XML
	"$dir/pulse" run --config "$dir/pulse.conf" 2>"$dir/log" &
	local manager=$!
	until grep -q 'pulse runs' "$dir/log"; do kill -0 $manager && sleep 0.1; done
	"$dir/pulse" sim --keys "$dir/client.keys" --manager 127.0.0.1:21514 --notify 2h >"$dir/sim" &
	local sim=$!
	until grep -qs "^all .* connected" "$dir/sim"; do kill -0 $sim && sleep 0.1; done
	sleep 2
	local m0 a0 w0 r0 m1 a1 w1 r1
	read -r m0 _ < <(used $manager)
	read -r a0 w0 r0 < <(used $sim)
	sleep "$seconds"
	read -r m1 _ < <(used $manager)
	read -r a1 w1 r1 < <(used $sim)
	kill -INT $sim && wait $sim || true
	kill -INT $manager && wait $manager
	rm -rf "$dir/state"
	manager_ms=$((m1 - m0)) agents_ms=$((a1 - a0)) up=$((w1 - w0)) down=$((r1 - r0))
}

for nats in yes no; do
	measure 3600 $nats
	idle_m=$manager_ms idle_a=$agents_ms idle_up=$up idle_down=$down
	measure 1 $nats
	awk -v n=$((agents * seconds)) -v m=$((manager_ms - idle_m)) -v a=$((agents_ms - idle_a)) -v u=$((up - idle_up)) -v d=$((down - idle_down)) \
		-v nats=$nats 'BEGIN { printf "NATS %s: %d keep-alives; each: manager %.1f µs, agent %.1f µs (simulated), %.1f bytes to the agent, %.1f bytes from it\n",
			nats, n, m * 1000 / n, a * 1000 / n, d / n, u / n }'
done
