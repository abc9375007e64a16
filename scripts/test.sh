#!/bin/sh
# Runs every test with the real libvirt, QEMU, guests, fio and browser, and fails if one was skipped.
#   scripts/test.sh                      everything, the race detector included
#   scripts/test.sh ./orchestrator/...   the tests of some packages, without the race detector
#   scripts/test.sh ./reports -run Page  what go test takes
set -eu
real=$(mktemp)
watched=$(mktemp)
watching=
trap 'rm -f "$real" "$watched"; [ -z "$watching" ] || kill "$watching" 2>/dev/null || :' EXIT

gotest() { go test -vet=off -count=1 -timeout 40m "$@"; } # the linter has vetted

# Packages whose code starts goroutines or shares state between them. The race detector makes the judge and the simulated disk ten
# times slower, and guests wait for both: it watches what runs without guests, and of the real tests those named below.
concurrent() {
	go list -f '{{.Dir}} {{.ImportPath}}{{range .GoFiles}} {{.}}{{end}}' ./... | while read -r dir package files; do
		# shellcheck disable=SC2086
		if (cd "$dir" && grep -qE '(^|[^[:alnum:]_])go (func|[a-z][[:alnum:]_.]*\()|\.Go\(|^[[:space:]]+"sync(/atomic)?"$' $files); then
			echo "$package"
		fi
	done
}

# Real tests under the race detector: libvirt and SSH, the suite of the lab, a campaign whose disk dies.
raced='^(TestTheRealLabPassesTheLabSuite|TestTheRunGoesOnWhenTheSimulatedDiskDies)$'
connections='/orchestrator/(hypervisor|guest)$'

show() { # a log, and all of it if its tests failed
	grep -E '^(ok|FAIL|panic|\?)|^[[:space:]]*--- (FAIL|SKIP)|^WARNING: DATA RACE' "$1" || true
	if [ "$2" -ne 0 ]; then
		cat "$1"
		exit "$2"
	fi
}

status=0
# shellcheck disable=SC2046
if [ $# -gt 0 ]; then
	PLATTER_REAL=1 gotest -v "$@" >"$real" 2>&1 || status=$?
	show "$real" "$status"
else
	nice go test -race -vet=off -count=1 -timeout 40m $(concurrent) >"$watched" 2>&1 &
	watching=$!
	{
		# The two packages that take longest begin together.
		PLATTER_REAL=1 gotest -v -p 2 -skip "$raced" ./cmd/platter ./orchestrator $(go list ./... | grep -vE "$connections|/cmd/platter$|/orchestrator$") &&
			PLATTER_REAL=1 gotest -v -race $(go list ./... | grep -E "$connections") &&
			PLATTER_REAL=1 gotest -v -race -run "$raced" ./orchestrator/...
	} >"$real" 2>&1 || status=$?
	show "$real" "$status"
	wait "$watching" || status=$?
	watching=
	echo 'watched by the race detector:'
	show "$watched" "$status"
fi
if grep -q -E '^[[:space:]]*--- SKIP' "$real"; then
	echo "tests were skipped: see above" >&2
	exit 1
fi
echo 'the slowest:'
sed -n 's/^--- PASS: \(.*\) (\([0-9.]*\)s)$/\2 s  \1/p' "$real" | sort -rn | head -n 12
echo "$(grep -c -E '^[[:space:]]*--- PASS' "$real") passed, 0 failed"
