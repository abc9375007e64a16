#!/bin/sh
# Judges the domain XML files that differ between two revisions of a git repository: lint first, then both sides of each change
# measured and judged. Prints Markdown on standard output; ends with the worst outcome: 0 PASS, 1 FAIL, 5 INCONCLUSIVE, other: an error.
#
#   check-disks.sh BASE [HEAD]            for example: check-disks.sh origin/main
#
# PLATTER_POLICY  policy file; platter's default policy without it
# PLATTER_MATRIX  matrix file or built-in name; ab-quick without it
# PLATTER_AB      further options of platter ab, for example "--trials 20 --measure-anyway"
set -eu
base=$1
head=${2:-HEAD}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
worst=0
if [ -n "${PLATTER_POLICY:-}" ]; then set -- --policy "$PLATTER_POLICY"; else set --; fi

# A file that was renamed and changed is one that is new: it is linted.
changed=$(git -c core.quotePath=false diff --name-only --no-renames --diff-filter=AMT "$base" "$head" -- ':(top)*.xml')
while read -r file; do
	[ -n "$file" ] || continue
	git show "$head:$file" >"$work/after.xml"
	grep -q '<domain' "$work/after.xml" || continue
	status=0
	if git cat-file -e "$base:$file" 2>/dev/null; then
		git show "$base:$file" >"$work/before.xml"
		# shellcheck disable=SC2086
		platter ab --before "$work/before.xml" --after "$work/after.xml" -o "$work/run" "$@" --markdown "$work/verdict.md" \
			${PLATTER_AB:-} "${PLATTER_MATRIX:-ab-quick}" >"$work/text" 2>"$work/err" </dev/null || status=$?
	else
		platter lint "$@" "$work/after.xml" >"$work/text" 2>"$work/err" </dev/null || status=$?
		sed 's/^/- /' "$work/text" >"$work/verdict.md"
	fi
	printf '# %s\n\n' "$file"
	name=$(printf '%s' "$file" | sed 's/[&|\\]/\\&/g') # as sed takes it below
	old=$(printf '%s' "$base" | sed 's/[&|\\]/\\&/g')
	case $status in
	0 | 1 | 5) sed "s|$work/after.xml|$name|g; s|$work/before.xml|<(git show '$old:$name')|g" "$work/verdict.md" ;;
	*) printf 'Nothing was judged: status %s: %s\n' "$status" "$(grep '^platter: ' "$work/err" | tail -n 1)" ;;
	esac
	rm -rf "$work/run"* "$work/verdict.md"
	# FAIL is worse than INCONCLUSIVE, an error is worse than both.
	case $worst-$status in
	*-0 | 1-5) ;;
	0-* | 5-*) worst=$status ;;
	1-*) worst=$status ;;
	esac
done <<END
$changed
END
[ -n "$changed" ] || echo 'No domain XML differs.'
exit "$worst"
