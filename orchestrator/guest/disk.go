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
	CacheBytes int64             // block devices' pages in the guest's page cache after the drop (/proc/meminfo: Buffers)
	Dirty      int64             // dirty bytes after the sync (Dirty)
}

// prepareScript waits for the disk with serial $1, reads its knobs, syncs and drops what the page cache holds of it
// (BLKFLSBUF) and reads back what is left. Dropping all of the guest's page cache would drop fio itself, which then takes
// half a second longer to start under emulation. It uses the shell's own words only: each process costs tens of milliseconds under emulation.
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
blockdev --flushbufs "/dev/$found" || exit 1
while read -r k v rest; do
	case $k in Buffers:|Dirty:) echo "meminfo=$k$v" ;; esac
done </proc/meminfo
`

// Prepare waits for the scratch disk with the given serial, reads its knobs, and syncs and drops what the guest's page cache
// holds of it.
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
	if d.Device == "" || len(mem) < 2 {
		return Disk{}, fmt.Errorf("prepare disk in the guest: its answer is not whole: %q", out)
	}
	d.CacheBytes = mem["Buffers"]
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

// fioScript starts fio at once on a pipe, so that its start (a third of a second under emulation) is over when the job
// comes. Standard input brings the name of the disk in a line and then the job; flushes of the disk are counted around it.
const fioScript = `
cd /run/platter || exit 1
rm -f fio.json fio.txt job.pipe
mkfifo job.pipe
fio --output-format=json+ --output=fio.json job.pipe >fio.txt 2>&1 </dev/null &
read -r disk || { kill $!; exit 1; }
read -r before <"/sys/block/$disk/stat"
tee job.fio >job.pipe
wait $!
status=$?
read -r after <"/sys/block/$disk/stat"
[ -f fio.json ] || : >fio.json
echo "status=$status"
echo "before=$before"
echo "after=$after"
text=0
if [ -s fio.txt ]; then text=$(wc -c <fio.txt); fi
echo "text=$text"
echo
cat fio.txt fio.json
`

// Fio is a fio process in the guest that waits for its job.
type Fio struct {
	stdin *io.PipeWriter
	done  chan struct{}
	out   Output
	err   error
	stop  context.CancelFunc
}

// StartFio starts a fio that waits for its job. Run or Close must follow. ctx bounds all of its life.
func (c *Client) StartFio(ctx context.Context) *Fio {
	ctx, stop := context.WithCancel(ctx)
	r, w := io.Pipe()
	f := &Fio{stdin: w, done: make(chan struct{}), stop: stop}
	go func() {
		defer close(f.done)
		f.out, f.err = c.Run(ctx, script(fioScript), r)
		r.CloseWithError(io.ErrClosedPipe) // the job has no reader any more
	}()
	return f
}

// Run gives fio its job and waits for its end or ctx's; device is the disk whose flushes are counted. A fio that fails is
// no error here: see FioRun.Status.
func (f *Fio) Run(ctx context.Context, device, job string) (FioRun, error) {
	defer f.Close()
	go func() {
		// An error means that the command is over already; what it says is more telling.
		_, _ = fmt.Fprintf(f.stdin, "%s\n%s", strings.TrimPrefix(device, "/dev/"), job)
		f.stdin.Close()
	}()
	select {
	case <-f.done:
	case <-ctx.Done():
		return FioRun{}, fmt.Errorf("fio in the guest did not end: %w", ctx.Err())
	}
	if f.err != nil {
		return FioRun{}, fmt.Errorf("run fio in the guest: %w", f.err)
	}
	return parseFioRun(f.out.Stdout)
}

// Close ends a fio that was not given a job. A second call does nothing.
func (f *Fio) Close() {
	f.stdin.Close()
	f.stop()
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
	rest, err := io.ReadAll(r)
	if err != nil {
		return FioRun{}, fmt.Errorf("run fio in the guest: %w", err)
	}
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
