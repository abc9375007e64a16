#!/bin/sh
# debugfs (e2fsprogs) ends with 0 whatever became of a request given with -R: a file that is not there, a request that could not be
# taken apart. And it knows no backslash in a quoted word: a quote within one is written twice, as in SQL, and "\" is itself.
#
# A script that takes files out of an unmounted image by debugfs and trusts the exit status calls a missing file read; one that quotes
# paths as C or the shell do looks for its output under another name. What helps: double the quotes, and look whether the file is there.
set -eu
version=1.47.0-2+b2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -qq "e2fsprogs=$version" "libext2fs2=$version" "libss2=$version" "libcom-err2=$version"
for package in ./*.deb; do dpkg -x "$package" root; done
export LD_LIBRARY_PATH="$dir/root/lib/x86_64-linux-gnu:$dir/root/usr/lib/x86_64-linux-gnu"
debugfs() { "$dir/root/sbin/debugfs" "$@" 2>&1; }
debugfs -V | head -n 1

mkdir from
echo kept >from/data
"$dir/root/sbin/mke2fs" -q -t ext4 -d from image 4M 2>/dev/null

changed=0
expect() { # what was seen, what it was, what it is
	if [ "$2" = "$3" ]; then echo "as before: $1: $2"; else echo "CHANGED: $1: was $2, is $3"; changed=1; fi
}

status=0
debugfs -R 'dump /missing missing.out' image >said || status=$?
expect 'exit status for a file that is not there' 0 "$status"
expect 'what it says of it' 'File not found' "$(grep -o 'File not found' said)"
expect 'output of it' none "$([ -e missing.out ] && echo some || echo none)"

status=0
debugfs -R 'dump /data "a\"b"' image >said || status=$?
expect 'exit status for a quote behind a backslash' 0 "$status"
expect 'what it says of it' 'Unbalanced quotes' "$(grep -o 'Unbalanced quotes' said)"

debugfs -R 'dump /data "c""d"' image >/dev/null
expect 'a doubled quote within quotes' 'kept' "$(cat 'c"d' 2>/dev/null || echo missing)"
debugfs -R 'dump /data "e\tf"' image >/dev/null
expect 'a backslash within quotes' 'kept' "$(cat 'e\tf' 2>/dev/null || echo missing)"
exit "$changed"
