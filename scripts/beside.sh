#!/bin/sh
# Runs an earlier revision and this tree on the same run directories in turn, and prints wall time, peak memory and their ratios.
#   scripts/beside.sh [REVISION]   90f7508, the first version, unless another is named; it must be in this clone's history
set -eu
cd "$(dirname "$0")/.."
revision=${1:-90f7508}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/earlier"
git archive "$revision" | tar -x -C "$dir/earlier"
cp reports/assets/echarts.min.js reports/assets/LICENSE-echarts "$dir/earlier/reports/assets/" # built by make, from the same lock file
touch "$dir/earlier/reports/assets/echarts.min.js"
make --no-print-directory -C "$dir/earlier" build
make --no-print-directory build
PLATTER_EARLIER=$dir/earlier/bin/platter PLATTER_NOW=$PWD/bin/platter \
	go test -run '^$' -bench BesideEarlier -benchtime 1x ./cmd/platter
