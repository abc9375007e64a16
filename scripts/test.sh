#!/bin/sh
# Runs every test with the real libvirt, QEMU, guests, fio and browser, and fails if one was skipped.
set -eu
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
PLATTER_REAL=1 go test -race -count=1 -timeout 40m -v ./... >"$log" 2>&1 || status=$?
grep -E '^(ok|FAIL|panic|\?)|^[[:space:]]*--- (FAIL|SKIP)' "$log" || true
if [ "$status" -ne 0 ]; then
	cat "$log"
	exit "$status"
fi
if grep -q -E '^[[:space:]]*--- SKIP' "$log"; then
	echo "tests were skipped: see above" >&2
	exit 1
fi
echo 'the slowest:'
sed -n 's/^--- PASS: \(.*\) (\([0-9.]*\)s)$/\2 s  \1/p' "$log" | sort -rn | head -n 12
echo "$(grep -c -E '^[[:space:]]*--- PASS' "$log") passed, 0 failed"
