#!/bin/sh
# Makes a Debian-family machine ready for platter: installs the packages that are missing, starts libvirt where no init
# system does, and opens /dev/kvm to QEMU's group. Says what it does; does nothing when nothing is to be done.
#   scripts/setup.sh PACKAGE...
set -eu

missing=
for p in "$@"; do
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
# Another source of nodejs may bring npm along without Debian's package of that name.
if command -v npm >/dev/null; then missing=$(echo " $missing " | sed 's/ npm / /'); fi
if [ -n "$(echo $missing)" ]; then
	echo "setup: installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086
	apt-get install -y -qq --no-install-recommends $missing >/dev/null
elif ! apt-cache policy fio 2>/dev/null | grep -q 'Candidate: [0-9]'; then
	apt-get update -qq # the guest is built from what apt knows
fi

# A /dev/kvm that QEMU's user cannot open makes libvirt probe QEMU anew at every start of a domain: a minute each time.
if [ -c /dev/kvm ] && [ "$(stat -c %G /dev/kvm)" = root ] && getent group kvm >/dev/null; then
	echo "setup: giving /dev/kvm to group kvm"
	chgrp kvm /dev/kvm
	chmod 660 /dev/kvm
fi

answers() { timeout 20 virsh -q -c qemu:///system version >/dev/null 2>&1; }
if ! answers; then
	echo "setup: starting libvirt"
	if [ -d /run/systemd/system ]; then
		systemctl start virtlogd libvirtd
	else
		pgrep -x virtlogd >/dev/null || virtlogd -d
		pgrep -x libvirtd >/dev/null || libvirtd -d
	fi
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		answers && exit 0
		sleep 1
	done
	echo "setup: libvirt does not answer on qemu:///system; see /var/log/libvirt and journalctl -u libvirtd" >&2
	exit 1
fi
