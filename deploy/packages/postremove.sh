#!/bin/sh
# After a removal. What Pulse kept and its user stay, unless a deb is purged.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ]; then
	rm -rf /var/lib/pulse /var/ossec/etc/pulse.d
	if getent passwd pulse >/dev/null; then
		userdel pulse
	fi
fi
