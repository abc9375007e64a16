package guest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"platter/cell"
)

// Setup is how the scratch disk is to be used inside the guest.
type Setup struct {
	Filesystem string // mounted for the trial; "none" for the raw device
	Barrier    string // "off" mounts ext4 with barrier=0, btrfs and f2fs with nobarrier
	WriteCache string // for queue/write_cache: "write through", or "device" to leave it as it is
	CacheType  string // for virtio's or scsi_disk's cache_type: "write through", "write back", or "device" to leave it
	FileBytes  int64  // size of the file that was laid out in the file system; what a trial added is cut off again
}

// Disk is the scratch disk as the guest sees it, set up, with its caches synced and dropped.
type Disk struct {
	Device     string            // "/dev/vdb"
	Target     string            // what fio works on: the device, or the file in its file system
	Sysfs      map[string]string // /sys/block/…: "queue/write_cache": "write back", "cache_type", "size" (512-byte sectors), …
	Mount      string            // mount options as the kernel shows them; empty for the raw device
	CacheBytes int64             // block devices' pages in the guest's page cache after the drop (/proc/meminfo: Buffers)
}

// findScript sets disk to the name of the disk with serial $1, waiting for it. Like the others it uses the shell's own
// words as far as it can: each process costs tens of milliseconds under emulation.
const findScript = `
disk=
while [ -z "$disk" ]; do
	for f in /sys/block/*/serial /sys/block/*/device/serial /sys/block/*/device/vpd_pg80; do
		[ -r "$f" ] || continue
		case $f in /sys/block/nvme*c*n*) continue ;; esac # a path of a disk, which has no device of its own
		v=
		case $f in
		*/vpd_pg80) v=$(tail -c +5 "$f") ;;
		*) read -r v <"$f" || : ;;
		esac
		if [ "$v" = "$1" ]; then disk=${f#/sys/block/}; disk=${disk%%/*}; fi
	done
	[ -n "$disk" ] || sleep 0.02
done
while [ ! -b "/dev/$disk" ]; do sleep 0.02; done
fail() { echo "$*" >&2; exit 3; }
broken() { echo "$*" >&2; exit 4; }
`

// prepareScript sets the knobs, mounts the file system if there is one ($2), and syncs and drops what the page cache
// holds of the disk (BLKFLSBUF; mounting anew leaves nothing cached either). btrfs and f2fs are kept from discarding what they free, which
// ext4 and xfs do not do by themselves: the image below stays allocated. Everything is read back. Dropping all of the
// guest's page cache would drop fio itself, which then takes half a second longer to start under emulation.
//
//	$2 file system  $3 barrier  $4 write_cache  $5 cache_type  $6 bytes of the data file
const prepareScript = findScript + `
cd "/sys/block/$disk" || exit 1
set_knob() {
	[ -w "$2" ] || fail "the guest kernel has no $1 for this disk"
	echo "$3" >"$2" || fail "the guest kernel refuses $1=$3"
	read -r v <"$2"
	[ "$v" = "$3" ] || fail "$1 was set to $3 and reads back as $v"
}
if [ "$5" != device ]; then
	knob=cache_type
	for f in device/scsi_disk/*/cache_type; do [ -e "$f" ] && knob=$f; done
	set_knob cache_type "$knob" "$5"
fi
if [ "$4" != device ]; then set_knob queue/write_cache queue/write_cache "$4"; fi
echo "device=/dev/$disk"
for f in size cache_type queue/write_cache queue/fua queue/scheduler queue/rotational queue/logical_block_size \
	queue/physical_block_size queue/nr_requests device/scsi_disk/*/cache_type; do
	v=
	if [ -r "$f" ]; then read -r v <"$f" || :; echo "sysfs=$f=$v"; fi
done
read -r v </sys/devices/system/clocksource/clocksource0/current_clocksource && echo "sysfs=clocksource=$v"
blockdev --flushbufs "/dev/$disk" || exit 1
case $2 in
none) echo "target=/dev/$disk" ;;
*)
	case $2-$3 in
	ext4-off) opts=noatime,barrier=0 ;;
	ext4-on) opts=noatime,barrier=1 ;;
	btrfs-off | f2fs-off) opts=noatime,nodiscard,nobarrier ;;
	btrfs-on | f2fs-on) opts=noatime,nodiscard ;;
	*) opts=noatime ;;
	esac
	mkdir -p /scratch
	# Disks of one file system come and go, each as it was at another time: what the kernel knows of the last one must not stand in the way.
	case $2 in btrfs) btrfs device scan --forget >/dev/null 2>&1 ;; esac
	mount -t "$2" -o "$opts" "/dev/$disk" /scratch || broken "mount -t $2 -o $opts failed"
	[ -f /scratch/data ] || broken "the file system has no data file"
	truncate -s "$6" /scratch/data || broken "the data file cannot be cut to $6 bytes"
	sync -f /scratch/data
	echo "target=/scratch/data"
	while read -r dev dir kind opts rest; do
		if [ "$dir" = /scratch ]; then echo "mount=$kind,$opts"; fi
	done </proc/mounts
	;;
esac
while read -r k v rest; do
	case $k in Buffers:) echo "meminfo=$k$v" ;; esac
done </proc/meminfo
`

// brokenStatus is how a script ends that failed on the disk's file system.
const brokenStatus = 4

// BrokenError says that a command failed on the scratch disk's file system, or on the file in it: it cannot be mounted, the file is not
// there, or it cannot be opened.
type BrokenError struct{ *ExitError }

// Unwrap returns the command's own error.
func (e *BrokenError) Unwrap() error { return e.ExitError }

// blame returns err as a *BrokenError if the command ended with status, which stands for the disk's file system.
func blame(err error, status int) error {
	var exit *ExitError
	if errors.As(err, &exit) && exit.Status == status {
		return &BrokenError{exit}
	}
	return err
}

// Prepare waits for the scratch disk with the given serial, sets it up, and syncs and drops what the guest's page cache
// holds of it. A knob that the guest's kernel does not have or does not take is an *ExitError that says which; a file system that cannot
// be mounted or has lost its file is a *BrokenError.
func (c *Client) Prepare(ctx context.Context, serial string, s Setup) (Disk, error) {
	command := script(prepareScript, serial, s.Filesystem, s.Barrier, s.WriteCache, s.CacheType, strconv.FormatInt(s.FileBytes, 10))
	out, err := c.Run(ctx, command, nil)
	if err != nil {
		return Disk{}, fmt.Errorf("prepare disk %s in the guest: %w", serial, blame(err, brokenStatus))
	}
	d, err := parsePrepared(out.Stdout)
	if err == nil && cell.TakesBarrierOff(s.Filesystem) && strings.Contains(d.Mount, "nobarrier") != (s.Barrier == "off") {
		err = fmt.Errorf("prepare disk %s in the guest: asked for barrier %s, the mount options are %s", serial, s.Barrier, d.Mount)
	}
	return d, err
}

// releaseScript unmounts what Prepare mounted.
const releaseScript = `
while read -r dev dir rest; do
	if [ "$dir" = /scratch ]; then umount /scratch; exit; fi
done </proc/mounts
`

// Release unmounts the file system that Prepare mounted, before the disk is unplugged.
func (c *Client) Release(ctx context.Context) error {
	if _, err := c.Run(ctx, script(releaseScript), nil); err != nil {
		return fmt.Errorf("unmount scratch disk in the guest: %w", err)
	}
	return nil
}

// formatScript makes the file system $2 on the disk and lays out its data file of $3 bytes; with 0 the file is empty. Nothing is
// left to be initialised lazily, and blocks are not discarded: the image below stays allocated.
const formatScript = findScript + `
case $2 in
ext4) mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0,nodiscard "/dev/$disk" || exit 3 ;;
xfs) mkfs.xfs -q -f -K "/dev/$disk" || exit 3 ;;
btrfs) mkfs.btrfs -q -f -K "/dev/$disk" || exit 3 ;;
f2fs) mkfs.f2fs -q -f -t 0 "/dev/$disk" || exit 3 ;;
esac
mkdir -p /scratch
opts=noatime
case $2 in btrfs | f2fs) opts=noatime,nodiscard ;; esac
mount -t "$2" -o "$opts" "/dev/$disk" /scratch || exit 3
: >/scratch/data
[ "$3" = 0 ] || fio --name=layout --filename=/scratch/data --rw=write --bs=1m --size="$3" --ioengine=psync \
	--fallocate=none --end_fsync=1 --output=/run/platter/layout.txt || {
	tail -n 3 /run/platter/layout.txt >&2
	exit 3
}
umount /scratch
`

// Format makes a file system on the disk with the given serial and fills a file of so many bytes in it, which Prepare
// mounts and RunFio works on. With 0 bytes the file is empty: what works on it lays it out itself.
func (c *Client) Format(ctx context.Context, serial, filesystem string, fileBytes int64) error {
	if _, err := c.Run(ctx, script(formatScript, serial, filesystem, strconv.FormatInt(fileBytes, 10)), nil); err != nil {
		return fmt.Errorf("make %s on disk %s in the guest: %w", filesystem, serial, err)
	}
	return nil
}

func parsePrepared(out []byte) (Disk, error) {
	d := Disk{Sysfs: map[string]string{}}
	mem := map[string]int64{}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), "=")
		switch key {
		case "device":
			d.Device = value
		case "target":
			d.Target = value
		case "mount":
			d.Mount = value
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
	if d.Target == "" || len(mem) < 1 {
		return Disk{}, fmt.Errorf("prepare disk in the guest: its answer is not whole: %q", out)
	}
	d.CacheBytes = mem["Buffers"]
	return d, nil
}

// FioRun is what one fio process in the guest left behind.
type FioRun struct {
	Status  int    // fio's exit status
	Text    string // what it printed beside its JSON
	JSON    []byte
	IOPSLog []byte // fio's IOPS log, where the job asked for one
	Flushes int64  // flush requests that the disk completed meanwhile (/sys/block/…/stat)
}

// fioScript starts fio at once on a pipe, so that its start (a third of a second under emulation) is over when the job
// comes. Standard input brings the name of the disk in a line and then the job; flushes of the disk are counted around it.
const fioScript = `
cd /run/platter || exit 1
rm -f fio.json fio.txt job.pipe *_iops.log
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
log=0
for f in *_iops.log; do
	if [ -s "$f" ]; then log=$(wc -c <"$f"); else f=; fi
done
echo "log=$log"
echo
cat fio.txt $f fio.json
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
	var before, after, text, log int64
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
		case "log":
			log, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
		if err != nil {
			return FioRun{}, fmt.Errorf("run fio in the guest: %w", err)
		}
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		return FioRun{}, fmt.Errorf("run fio in the guest: %w", err)
	}
	if text < 0 || log < 0 || text > int64(len(rest)) || log > int64(len(rest))-text {
		return FioRun{}, fmt.Errorf("run fio in the guest: its answer is cut short")
	}
	run.Text = string(rest[:text])
	run.IOPSLog = rest[text : text+log]
	run.JSON = rest[text+log:]
	run.Flushes = after - before
	return run, nil
}

// flushes returns how many flush requests were completed, out of a line of /sys/block/DISK/stat (field 16, since Linux 5.5; kernel
// Documentation/block/stat.rst).
func flushes(stat string) (int64, error) {
	f := strings.Fields(stat)
	if len(f) < 17 {
		return 0, fmt.Errorf("guest kernel has no flush counter in /sys/block/…/stat: %q", stat)
	}
	return strconv.ParseInt(f[15], 10, 64)
}

// script returns the shell command that runs a script of ours with arguments. The arguments are names that platter made itself.
func script(text string, args ...string) string {
	command := "sh -c '" + text + "' platter"
	for _, a := range args {
		command += " '" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return command
}
