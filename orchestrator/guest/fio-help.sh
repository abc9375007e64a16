# Asks this system's fio for all of its options, and for those of the engines that platter measures with (matrices.ReadFio reads it).
set -eu
names() { sed -n 's/^ *\([a-z][a-z0-9_-]*\) *:.*/\1/p'; }
fio --version
for option in $(fio --cmdhelp=all | names); do
	echo "[option $option]"
	fio --cmdhelp="$option"
done
for engine in sync psync vsync pvsync pvsync2 mmap libaio io_uring posixaio; do
	echo "[engine $engine]"
	for option in $(fio --enghelp="$engine" | names); do
		echo "[engine $engine $option]"
		fio --enghelp="$engine,$option"
	done
done
