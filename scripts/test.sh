#!/bin/sh
# Runs every test with the real libvirt, QEMU, guests, fio and browser, and fails if one was skipped.
#   scripts/test.sh                      everything: the linter, the race detector and a newer hypervisor's tree included
#   scripts/test.sh hypervisors          what is said of other hypervisors, in the tree of each
#   scripts/test.sh ./orchestrator/...   the tests of some packages, without the race detector
#   scripts/test.sh ./reports -run Page  what go test takes
set -eu
logs=$(mktemp -d)
trap 'for p in "$logs"/*.pid; do [ ! -f "$p" ] || { pkill -P "$(cat "$p")"; kill "$(cat "$p")"; } 2>/dev/null || :; done; rm -rf "$logs"' EXIT

# Without cgo the tests share what was compiled for bin/platter. The linter vets.
gotest() { CGO_ENABLED=0 PLATTER_REAL=1 PLATTER_HYPERVISOR="$hypervisor" go test -v -vet=off -count=1 -timeout 40m "$@"; }
racetest() { CGO_ENABLED=1 PLATTER_REAL=1 go test -v -race -vet=off -count=1 -timeout 40m "$@"; }

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

# Long tests of those packages in which nothing runs at once. They run without the race detector.
serial='^(TestLayersAreWhatTheLogSaysAfterWhateverHappens|TestAHugeDiscardTakesNoSpace|TestTheIntervalHoldsWhatItSays)$'
# Real tests under the race detector: libvirt and SSH, the suite of the lab, a campaign whose disk dies.
raced='^(TestTheRealLabPassesTheLabSuite|TestTheRunGoesOnWhenTheSimulatedDiskDies)$'
connections='/orchestrator/(hypervisor|guest)$'
# Tests in a newer hypervisor's tree.
newer=trixie
trees='Hypervisor|OfATree'
hypervisor=$newer

# begin runs a chain beside the others; its output goes to a log, its end to a file.
begin() {
	name=$1
	shift
	{
		status=0
		"$@" || status=$?
		echo "$status" >"$logs/$name.status"
	} >"$logs/$name.log" 2>&1 &
	echo $! >"$logs/$name.pid"
}

failed=0
# finish waits for a chain and shows how its tests ended, and all it said if it failed.
finish() {
	wait "$(cat "$logs/$1.pid")" || :
	rm "$logs/$1.pid"
	status=$(cat "$logs/$1.status" 2>/dev/null || echo 1)
	echo "$1:"
	grep -E '^(ok|FAIL|panic|\?)|^[[:space:]]*--- (FAIL|SKIP)|^WARNING: DATA RACE' "$logs/$1.log" | grep -v 'no test' || :
	if [ "$status" -ne 0 ]; then
		cat "$logs/$1.log"
		failed=1
	fi
}

# skipped prints the tests that were skipped: all of a real chain's, and of the watched packages those that were skipped for another
# reason than that they are not the real run.
skipped() {
	case $1 in
	*/watched.log) awk '/^[[:space:]]*--- SKIP/ && last !~ /PLATTER_REAL/ { print } { last = $0 }' "$1" ;;
	*) grep -E '^[[:space:]]*--- SKIP' "$1" || : ;;
	esac
}

tree() { # made once, kept in the cache
	nice bin/platter hypervisor build "$newer"
}

commands() {
	gotest -skip "$trees" ./cmd/platter
}

campaigns() {
	gotest -skip "$raced|$trees" ./orchestrator &&
		racetest -p 1 $(go list ./... | grep -E "$connections") &&
		racetest -run "$raced" ./orchestrator || return
	while [ ! -f "$logs/tree.status" ]; do sleep 1; done # it was begun long ago
	if [ "$(cat "$logs/tree.status")" -ne 0 ]; then
		echo "there is no hypervisor $newer to test in"
		return 1
	fi
	gotest ./orchestrator/tree && gotest -run "$trees" ./orchestrator && intree "$newer"
}

# intree tries what is said of other hypervisors in the tree of one.
intree() {
	hypervisor=$1
	gotest -run "$trees" ./cmd/platter &&
		bin/platter hypervisor run "$1" -- platter doctor &&
		CGO_ENABLED=0 go test -vet=off -c -o bin/hypervisor.test ./orchestrator/hypervisor &&
		bin/platter hypervisor run --share "$PWD" "$1" -- sh -c \
			"cd '$PWD/orchestrator/hypervisor' && PLATTER_REAL=1 '$PWD/bin/hypervisor.test' -test.v"
}

every() {
	for name in trixie trixie-backports sid bookworm-backports; do
		bin/platter hypervisor build "$name" && intree "$name" || return
	done
}

others() {
	# shellcheck disable=SC2046
	gotest -p 1 $(go list ./... | grep -vE "$connections|/cmd/platter$|/orchestrator$|/orchestrator/tree$")
}

watched() {
	# shellcheck disable=SC2046
	CGO_ENABLED=1 nice go test -v -race -vet=off -count=1 -timeout 40m -skip "$serial" $(concurrent)
}

lint() {
	CGO_ENABLED=0 nice make --no-print-directory lint
}

if [ "${1:-}" = hypervisors ]; then
	bin/platter guest build >/dev/null
	begin hypervisors every
	finish hypervisors
elif [ $# -gt 0 ]; then
	begin tests gotest "$@"
	finish tests
else
	begin tree tree
	begin lint lint
	bin/platter guest build >/dev/null
	begin commands commands
	begin campaigns campaigns
	begin others others
	finish lint
	begin watched watched
	for chain in others watched campaigns commands tree; do finish "$chain"; done
fi
[ "$failed" -eq 0 ] || exit 1
for log in "$logs"/*.log; do
	if [ -n "$(skipped "$log")" ]; then
		skipped "$log" >&2
		echo "tests were skipped: see above" >&2
		exit 1
	fi
done
echo 'the slowest:'
cat "$logs"/*.log | sed -n 's/^--- PASS: \(.*\) (\([0-9.]*\)s)$/\2 s  \1/p' | sort -rn | head -n 12
echo "$(cat "$logs"/*.log | grep -c -E '^[[:space:]]*--- PASS') passed, 0 failed"
