package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"platter/powercut/witness"
)

//go:embed all:bin
var probes embed.FS

// ProbeJob is a run of the probe, or what it is to prefill.
type ProbeJob struct {
	Layout    witness.Layout // pattern, jobs, blocks and order of the writes
	Target    string         // device or file in the guest
	Witness   string         // the witness disk's device in the guest; a prefill has none
	RW        string         // write, randwrite, rw or randrw; must say the same as Layout.Random
	RWMixRead int            // percent, of rw and randrw
	Direct    bool
	Sync      string // "none", "dsync" or "sync"
	Fsync     int    // after every so many writes of a job; 0 for never
	Fdatasync int
	IODepth   int // concurrent writers of a job
	Runtime   time.Duration
	Lie       bool // writes buffered and promises without a sync: the control that must lose
}

// ProbeRun is what a probe that lived to its end says.
type ProbeRun struct {
	Jobs    []ProbeJobRun `json:"jobs"`
	IODepth int           `json:"iodepth"` // at which it was run
	Seconds float64       `json:"seconds"`
	Error   string        `json:"error,omitempty"` // of the data disk: it ended the run early
}

// ProbeJobRun is about one job of the probe. Sequences are those of its last such write.
type ProbeJobRun struct {
	Job          int   `json:"job"`
	Writes       int64 `json:"writes"` // begun
	Acknowledged int64 `json:"acknowledged"`
	Promised     int64 `json:"promised"`
	Syncs        int64 `json:"syncs"` // fsync and fdatasync calls
}

// Extent is a piece of the probe's file on the disk below its file system, in bytes.
type Extent struct {
	File   int64 `json:"file"`   // offset in the file
	Image  int64 `json:"image"`  // offset on the block device
	Length int64 `json:"length"` // of the piece
}

// ProbeLoss counts the writes that a survivor lacks.
type ProbeLoss struct {
	Promises      int64  `json:"promises"`       // promised writes
	PromisesLost  int64  `json:"promises_lost"`  // those of them that are gone
	Torn          int64  `json:"torn"`           // blocks that mix promised and newer sectors
	ExposedWrites int64  `json:"exposed_writes"` // acknowledged, not promised, and gone
	FirstLost     string `json:"first_lost"`     // the first broken promise that was found, in words; empty when there is none
}

// probePath is where the probe lies in the guest: in memory, as all that is written to its root, and not in /run, from which
// nothing may be executed.
const probePath = "/sbin/platter-probe"

// probeBinary returns the probe out of bin, for x86-64 as the guest is.
func probeBinary(bin fs.FS) ([]byte, error) {
	b, err := fs.ReadFile(bin, "bin/probe-amd64")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Message: "platter was built without its probe: run make build"}
	}
	return b, err
}

// askProbeScript prints the digest of the probe that the guest has, if it has one.
const askProbeScript = `
v=
if [ -x ` + probePath + ` ]; then read -r v <` + probePath + `.sha256 || :; fi
echo "$v"
`

// takeProbeScript makes standard input the probe, whose digest is $1.
const takeProbeScript = `
p=` + probePath + `
rm -f $p.sha256
cat >$p.new && chmod 0755 $p.new && mv -f $p.new $p && echo "$1" >$p.sha256
`

// SendProbe makes sure that the guest has this platter's probe. Only the first call on a connection asks the guest, and only a
// guest that does not have it is sent it.
func (c *Client) SendProbe(ctx context.Context) error {
	if c.hasProbe.Load() {
		return nil
	}
	out, err := c.Run(ctx, script(askProbeScript), nil)
	if err != nil {
		return fmt.Errorf("look for the probe in the guest: %w", err)
	}
	binary, err := probeBinary(probes)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(binary)
	digest := hex.EncodeToString(sum[:])
	if strings.TrimSpace(string(out.Stdout)) != digest {
		if _, err := c.Run(ctx, script(takeProbeScript, digest), bytes.NewReader(binary)); err != nil {
			return fmt.Errorf("send the probe into the guest: %w", err)
		}
	}
	c.hasProbe.Store(true)
	return nil
}

// RunProbe runs the probe and waits for its end or ctx's. An error of the data disk is in ProbeRun.Error; an error here means
// that the probe could not work, or that the guest is gone: then the log of the disks is all there is.
func (c *Client) RunProbe(ctx context.Context, j ProbeJob) (ProbeRun, error) {
	var run ProbeRun
	err := c.probe(ctx, j.runArguments(), nil, &run)
	return run, err
}

// PrefillProbe stamps every block of the job's target and returns where a file stands on its disk; nothing for a device.
func (c *Client) PrefillProbe(ctx context.Context, j ProbeJob) ([]Extent, error) {
	var mapped struct {
		Extents []Extent `json:"extents"`
	}
	err := c.probe(ctx, j.prefillArguments(), nil, &mapped)
	return mapped.Extents, err
}

// CheckProbe reads the survivor of a run back: target is as it was for the run. promised and acknowledged hold, for each job, the
// sequence up to which all writes were, as the witness had heard it at the crash. What cannot be read of it is lost; a target that cannot
// even be opened is a *BrokenError.
func (c *Client) CheckProbe(ctx context.Context, target string, layout witness.Layout, promised, acknowledged []uint32) (ProbeLoss, error) {
	ledger, err := probeLedger(layout, promised, acknowledged)
	if err != nil {
		return ProbeLoss{}, err
	}
	var loss ProbeLoss
	err = c.probe(ctx, checkArguments(target), ledger, &loss)
	return loss, blame(err, probeFailed)
}

// CheckProbeHere is CheckProbe for a survivor, or a copy of its files, on this host. The probe is run from the directory work, since
// many hosts let nothing be executed in /tmp.
func CheckProbeHere(ctx context.Context, work, target string, layout witness.Layout, promised, acknowledged []uint32) (ProbeLoss, error) {
	ledger, err := probeLedger(layout, promised, acknowledged)
	if err != nil {
		return ProbeLoss{}, err
	}
	binary, err := probeBinary(probes)
	if err != nil {
		return ProbeLoss{}, err
	}
	dir, err := os.MkdirTemp(work, "probe-")
	if err != nil {
		return ProbeLoss{}, fmt.Errorf("put the probe into %s: %w", work, err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "probe")
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		return ProbeLoss{}, fmt.Errorf("put the probe into %s: %w", work, err)
	}
	cmd := exec.CommandContext(ctx, path, checkArguments(target)...)
	cmd.Stdin = bytes.NewReader(ledger)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return ProbeLoss{}, fmt.Errorf("probe check: %w: %s", err, lastLine(exit.Stderr))
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: is %s on a file system mounted noexec? Name another directory with --storage", err, work)
	}
	if err != nil {
		return ProbeLoss{}, fmt.Errorf("probe check: %w", err)
	}
	var loss ProbeLoss
	return loss, parseProbe("check", out, &loss)
}

// probeFailed is how the probe ends that could not do its work; a check has none to fail at but opening its target.
const probeFailed = 1

// probe runs the probe in the guest and reads its answer into result.
func (c *Client) probe(ctx context.Context, args []string, stdin []byte, result any) error {
	out, err := c.Run(ctx, script("exec "+probePath+` "$@"`, args...), bytes.NewReader(stdin))
	if err != nil {
		return fmt.Errorf("probe %s in the guest: %w", args[0], err)
	}
	return parseProbe(args[0], out.Stdout, result)
}

// parseProbe reads what the probe printed: one JSON object.
func parseProbe(command string, out []byte, result any) error {
	if err := json.Unmarshal(out, result); err != nil {
		return fmt.Errorf("probe %s: its answer is not whole (%w): %.200q", command, err, out)
	}
	return nil
}

func (j ProbeJob) prefillArguments() []string {
	l := j.Layout
	return []string{"prefill", "--filename=" + j.Target, "--campaign=" + strconv.FormatUint(l.Campaign, 10),
		"--size=" + strconv.FormatInt(l.JobBytes()*int64(l.Jobs), 10), "--bs=" + strconv.Itoa(l.BlockBytes),
		"--numjobs=" + strconv.Itoa(l.Jobs), "--pattern=" + l.Pattern}
}

func (j ProbeJob) runArguments() []string {
	direct := "0"
	if j.Direct {
		direct = "1"
	}
	args := append(j.prefillArguments(), "--witness="+j.Witness, "--seed="+strconv.FormatUint(j.Layout.Seed, 10), "--rw="+j.RW,
		"--rwmixread="+strconv.Itoa(j.RWMixRead), "--direct="+direct, "--sync="+j.Sync, "--fsync="+strconv.Itoa(j.Fsync),
		"--fdatasync="+strconv.Itoa(j.Fdatasync), "--iodepth="+strconv.Itoa(j.IODepth),
		"--runtime="+strconv.FormatFloat(j.Runtime.Seconds(), 'f', -1, 64))
	args[0] = "run"
	if j.Lie {
		args = append(args, "--lie")
	}
	return args
}

func checkArguments(target string) []string { return []string{"check", "--filename=" + target} }

// probeLedger returns what the probe's check reads.
func probeLedger(layout witness.Layout, promised, acknowledged []uint32) ([]byte, error) {
	if len(promised) != layout.Jobs || len(acknowledged) != layout.Jobs {
		return nil, fmt.Errorf("probe check: a layout of %d jobs, promises of %d and acknowledgements of %d",
			layout.Jobs, len(promised), len(acknowledged))
	}
	type job struct {
		Promised     uint32 `json:"promised"`
		Acknowledged uint32 `json:"acknowledged"`
	}
	ledger := struct {
		Layout witness.Layout `json:"layout"`
		Jobs   []job          `json:"jobs"`
	}{Layout: layout}
	for i := range promised {
		ledger.Jobs = append(ledger.Jobs, job{promised[i], acknowledged[i]})
	}
	return json.Marshal(ledger)
}

// DeviceBySerial waits, as long as ctx does, for the disk with the serial in the guest and returns its device.
func (c *Client) DeviceBySerial(ctx context.Context, serial string) (string, error) {
	out, err := c.Run(ctx, script(findScript+`echo "/dev/$disk"`, serial), nil)
	if err != nil {
		return "", fmt.Errorf("find disk %s in the guest: %w", serial, err)
	}
	return strings.TrimSpace(string(out.Stdout)), nil
}
