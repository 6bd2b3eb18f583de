#!/bin/sh
# After an installation or an upgrade; deb: configure [OLD VERSION], rpm: how many there are.
set -e

case "$1" in
configure) old=$2 ;;
[0-9]*) [ "$1" = 1 ] && old= || old=some ;;
*) exit 0 ;;
esac

if ! getent passwd pulse >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/pulse --no-create-home \
		--shell /usr/sbin/nologin --comment Pulse pulse
fi
# To read client.keys and reach the manager's sockets. Where a manager comes later:
# usermod -aG wazuh pulse, as pulse doctor says; of Wazuh 5 the group is wazuh-manager.
for group in wazuh wazuh-manager; do
	if getent group "$group" >/dev/null; then
		usermod -aG "$group" pulse
	fi
done
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if [ -n "$old" ]; then
		systemctl try-restart pulse.service
	fi
fi
if [ -z "$old" ]; then
	cat <<-'END'
		Pulse is installed, and does not run yet:
		  pulse doctor                       is this host ready?
		  $EDITOR /var/ossec/etc/pulse.conf  the settings
		  systemctl enable --now pulse
	END
fi
