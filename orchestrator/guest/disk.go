package guest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Disk is the scratch disk as the guest sees it, with its caches synced and dropped.
type Disk struct {
	Device     string            // "/dev/vdb"
	Sysfs      map[string]string // /sys/block/…: "queue/write_cache": "write back", "cache_type", "size" (512-byte sectors), …
	CacheBytes int64             // the guest's page cache after the drop, without tmpfs
	Dirty      int64             // dirty bytes after the sync
}

// prepareScript waits for the disk with serial $1, reads its knobs, syncs and drops the page cache and reads back what
// is left of it. It uses the shell's own words only: each process costs tens of milliseconds under emulation.
const prepareScript = `
found=
while [ -z "$found" ]; do
	for f in /sys/block/*/serial /sys/block/*/device/vpd_pg80; do
		[ -r "$f" ] || continue
		v=
		case $f in
		*/vpd_pg80) v=$(tail -c +5 "$f") ;;
		*) read -r v <"$f" || : ;;
		esac
		if [ "$v" = "$1" ]; then found=${f#/sys/block/}; found=${found%%/*}; fi
	done
	[ -n "$found" ] || sleep 0.02
done
echo "device=/dev/$found"
cd "/sys/block/$found" || exit 1
for f in size cache_type queue/write_cache queue/fua queue/scheduler queue/rotational queue/logical_block_size queue/physical_block_size queue/nr_requests device/scsi_disk/*/cache_type; do
	v=
	if [ -r "$f" ]; then read -r v <"$f" || :; echo "sysfs=$f=$v"; fi
done
while [ ! -b "/dev/$found" ]; do sleep 0.02; done
sync
echo 1 >/proc/sys/vm/drop_caches || exit 1
while read -r k v rest; do
	case $k in Buffers:|Cached:|Shmem:|Dirty:) echo "meminfo=$k$v" ;; esac
done </proc/meminfo
`

// Prepare waits for the scratch disk with the given serial, reads its knobs, and syncs and drops the guest's page cache.
func (c *Client) Prepare(ctx context.Context, serial string) (Disk, error) {
	out, err := c.Run(ctx, script(prepareScript, serial), nil)
	if err != nil {
		return Disk{}, fmt.Errorf("prepare disk %s in the guest: %w", serial, err)
	}
	return parsePrepared(out.Stdout)
}

func parsePrepared(out []byte) (Disk, error) {
	d := Disk{Sysfs: map[string]string{}}
	mem := map[string]int64{}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), "=")
		switch key {
		case "device":
			d.Device = value
		case "sysfs":
			name, v, _ := strings.Cut(value, "=")
			d.Sysfs[name] = v
		case "meminfo":
			name, kib, _ := strings.Cut(value, ":")
			n, err := strconv.ParseInt(kib, 10, 64)
			if err != nil {
				return Disk{}, fmt.Errorf("read guest memory: %q is no number of KiB", kib)
			}
			mem[name] = n * 1024
		}
	}
	if d.Device == "" || len(mem) < 4 {
		return Disk{}, fmt.Errorf("prepare disk in the guest: its answer is not whole: %q", out)
	}
	d.CacheBytes = mem["Buffers"] + mem["Cached"] - mem["Shmem"]
	d.Dirty = mem["Dirty"]
	return d, nil
}

// FioRun is what one fio process in the guest left behind.
type FioRun struct {
	Status  int    // fio's exit status
	Text    string // what it printed beside its JSON
	JSON    []byte
	Flushes int64 // flush requests that the disk completed meanwhile (/sys/block/…/stat)
}

// fioScript runs fio over the job on its standard input and counts the flushes of disk $1 meanwhile.
const fioScript = `
cd /run/platter || exit 1
rm -f fio.json fio.txt
cat >job.fio
read -r before <"/sys/block/$1/stat"
fio --output-format=json+ --output=fio.json job.fio >fio.txt 2>&1 </dev/null
status=$?
read -r after <"/sys/block/$1/stat"
[ -f fio.json ] || : >fio.json
echo "status=$status"
echo "before=$before"
echo "after=$after"
echo "text=$(wc -c <fio.txt)"
echo
cat fio.txt fio.json
`

// RunFio runs the job file in the guest; device is the disk whose flushes are counted. A fio that fails is no error
// here: see FioRun.Status.
func (c *Client) RunFio(ctx context.Context, device string, job string) (FioRun, error) {
	out, err := c.Run(ctx, script(fioScript, strings.TrimPrefix(device, "/dev/")), strings.NewReader(job))
	if err != nil {
		return FioRun{}, fmt.Errorf("run fio in the guest: %w", err)
	}
	return parseFioRun(out.Stdout)
}

func parseFioRun(out []byte) (FioRun, error) {
	var run FioRun
	var before, after, text int64
	r := bufio.NewReader(bytes.NewReader(out))
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return FioRun{}, fmt.Errorf("run fio in the guest: its answer is not whole: %.200q", out)
		}
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if key == "" {
			break
		}
		switch key {
		case "status":
			run.Status, err = strconv.Atoi(value)
		case "before":
			before, err = flushes(value)
		case "after":
			after, err = flushes(value)
		case "text":
			text, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
		if err != nil {
			return FioRun{}, fmt.Errorf("run fio in the guest: %w", err)
		}
	}
	rest, _ := io.ReadAll(r)
	if text < 0 || text > int64(len(rest)) {
		return FioRun{}, fmt.Errorf("run fio in the guest: its answer is cut short")
	}
	run.Text, run.JSON = string(rest[:text]), rest[text:]
	run.Flushes = after - before
	return run, nil
}

// flushes takes the completed flush requests out of a line of /sys/block/DISK/stat (field 16, since Linux 5.5; kernel
// Documentation/block/stat.rst).
func flushes(stat string) (int64, error) {
	f := strings.Fields(stat)
	if len(f) < 17 {
		return 0, fmt.Errorf("guest kernel has no flush counter in /sys/block/…/stat: %q", stat)
	}
	return strconv.ParseInt(f[15], 10, 64)
}

// Facts are what the running guest says of itself.
type Facts struct {
	Kernel      string
	Fio         string
	ClockSource string
}

// Facts asks the guest.
func (c *Client) Facts(ctx context.Context) (Facts, error) {
	out, err := c.Run(ctx, "uname -r; fio --version; cat /sys/devices/system/clocksource/clocksource0/current_clocksource", nil)
	if err != nil {
		return Facts{}, fmt.Errorf("ask guest for its facts: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out.Stdout)), "\n")
	if len(lines) != 3 {
		return Facts{}, fmt.Errorf("ask guest for its facts: wanted 3 lines, got %q", out.Stdout)
	}
	return Facts{Kernel: lines[0], Fio: lines[1], ClockSource: lines[2]}, nil
}

// script makes a shell command of a script of ours and its arguments. The arguments are names that platter made itself.
func script(text string, args ...string) string {
	command := "sh -c '" + text + "' platter"
	for _, a := range args {
		command += " '" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return command
}
