#!/bin/sh
# Before a removal or an upgrade; deb: remove or upgrade, rpm: how many there will be.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now pulse.service
	fi
	;;
esac
