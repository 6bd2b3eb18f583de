#!/usr/bin/env bash
# Usage: check.sh VERSION
#
# Installs the deb of "make packages" on this Debian, uses what is there as the
# service's user would, upgrades, removes and purges it. Then it installs the rpm in a root
# of its own, with rpm itself, which it installs where it is missing. As root.
set -euo pipefail
cd "$(dirname "$0")/../.."

arch=$(dpkg --print-architecture)
work=$(mktemp -d)
daemon=
cleanup() {
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null || true
		wait "$daemon" 2>/dev/null || true
	fi
	dpkg -P pulse >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap cleanup EXIT

said() { printf -- '-- %s\n' "$*"; }
fail() {
	printf 'check.sh: %s\n' "$*" >&2
	exit 1
}

version=$1
deb=dist/pulse_${version}_${arch}.deb
[ -e "$deb" ] || fail "no $deb: run make packages first"
conf=/var/ossec/etc/pulse.conf
[ ! -e "$conf" ] || fail "$conf is there already: this is for a machine without Pulse"

said "install $deb"
dpkg -i "$deb" | tee "$work"/install
grep -q 'systemctl enable --now pulse' "$work"/install || fail "the installation does not say how to go on"
getent passwd pulse | grep -q nologin || fail "no service user"
pulse version
pulse config check "$conf" >/dev/null 2>"$work"/check || grep -q client.keys "$work"/check || fail "$(cat "$work"/check)"
gzip -dc /usr/share/man/man1/pulse.1.gz | grep -q 'SH COMMANDS' || fail "no manual page"
gzip -dc /usr/share/man/man5/pulse.conf.5.gz | grep -q 'reconnect_grace' || fail "no manual page of the settings"
for file in docs/operators.md docs/settings.md docs/consumers/go/consume.go schema/status_change.schema.json deploy/prometheus/alerts.yml; do
	[ -s /usr/share/doc/pulse/$file ] || fail "no /usr/share/doc/pulse/$file"
done
pulse wazuh-rules | cmp - /usr/share/pulse/pulse_rules.xml || fail "the rules for a manager are not those of the program"
if command -v systemd-analyze >/dev/null; then
	said "the unit: systemd-analyze verify and security"
	systemd-analyze verify /usr/lib/systemd/system/pulse.service 2>&1 | grep -v "man pulse(1)" | grep pulse.service && fail "systemd does not like the unit"
	systemd-analyze security --offline=true --no-pager --threshold=20 /usr/lib/systemd/system/pulse.service | tail -n 1
fi

said "run as the service's user, with the state directory that systemd would make"
install -d -o pulse -g pulse -m 0700 /var/lib/pulse
echo '001 web-01 any 0123456789abcdef' >"$work"/client.keys
cat >"$work"/pulse.conf <<END
<ossec_config>
  <remote><port>20914</port><local_ip>127.0.0.1</local_ip></remote>
  <nats><listen>127.0.0.1:20922</listen></nats>
  <pulse><link>listen</link><client_keys>$work/client.keys</client_keys><http>127.0.0.1:20920</http></pulse>
</ossec_config>
END
chmod -R a+rX "$work"
setpriv --reuid pulse --regid pulse --init-groups pulse run --config "$work"/pulse.conf 2>"$work"/log &
daemon=$!
for _ in $(seq 100); do
	pulse agents --config "$work"/pulse.conf >"$work"/agents 2>&1 && break
	sleep 0.2
done
grep -q 'web-01.*never_connected' "$work"/agents || fail "the daemon does not answer: $(cat "$work"/agents "$work"/log)"
# The public keys are for everybody, but for the directory that they are in.
open=$(find /var/lib/pulse -perm /077 ! -name '*.jwks')
[ -z "$open" ] || fail "others may read: $open"
kill "$daemon"
wait "$daemon" || fail "the daemon ended with $?"
daemon=

said "upgrade: changed settings stay"
echo '<!-- mine -->' >>"$conf"
next=$version+next
dpkg --compare-versions "$version" lt "$next" || fail "$next is no later version than $version"
(cd deploy/packages && ARCH=$arch VERSION=$next ../../dist/tools/nfpm package -f nfpm.yaml -p deb -t "$work"/next.deb)
DEBIAN_FRONTEND=noninteractive dpkg -i "$work"/next.deb | tee "$work"/upgrade
grep -q '<!-- mine -->' "$conf" || fail "the upgrade has overwritten $conf"
! grep -q 'enable --now' "$work"/upgrade || fail "the upgrade takes itself for an installation"

said "remove: settings and state stay; purge: nothing does"
dpkg -r pulse
[ ! -e /usr/bin/pulse ] && [ -e "$conf" ] && [ -e /var/lib/pulse/epoch ] || fail "a removal takes the wrong things"
dpkg -P pulse
[ ! -e "$conf" ] && [ ! -e /var/lib/pulse ] || fail "a purge leaves things"
! getent passwd pulse >/dev/null || fail "a purge leaves the user"
said "the rpm, in a root of its own"
command -v rpm >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends rpm
root=$work/root
mkdir "$root"
rpm --root "$root" --initdb
rpm=$(echo dist/pulse-"$version"-1.*.rpm)
rpm -K --nosignature "$rpm" || fail "the rpm is damaged"
rpm --root "$root" -i --nodeps --noscripts "$rpm"
rpm --root "$root" -V --nodeps --noscripts pulse || fail "what is installed is not what the rpm has"
cmp "$root"/usr/bin/pulse dist/linux-"$arch"/pulse || fail "another program"
rpm --root "$root" -q --configfiles pulse | grep -qx "$conf" || fail "$conf is no settings file of the rpm"
rpm --root "$root" -q --scripts pulse | grep -q useradd || fail "the rpm makes no user"
echo '<!-- mine -->' >>"$root$conf"
(cd deploy/packages && ARCH=$arch VERSION=$next ../../dist/tools/nfpm package -f nfpm.yaml -p rpm -t "$work"/next.rpm)
rpm --root "$root" -U --nodeps --noscripts "$work"/next.rpm || fail "$next is no later version than $version"
grep -q '<!-- mine -->' "$root$conf" || fail "the upgrade has overwritten $conf"
rpm --root "$root" -e --noscripts pulse
[ ! -e "$root"/usr/bin/pulse ] && [ -e "$root$conf".rpmsave ] || fail "a removal takes the wrong things"
said "good"
