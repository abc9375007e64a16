package orchestrator

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"platter/cell"
	"platter/flushpath"
	"platter/orchestrator/hypervisor"
	"platter/orchestrator/scratch"
	"platter/powercut"
)

const (
	// durabilityLimit bounds one QEMU's part of the test.
	durabilityLimit = 15 * time.Second
	durabilitySize  = 1 << 20
)

// examineDurability lets the installed QEMU make one write on the simulated disk that is to be durable when it returns, as each write of a
// guest is under writethrough and directsync, and looks whether it is. It is the first write, which is where the versions differ; a second
// one without that wish shows that a loss would be seen. No guest runs. program is platter's own executable, workdir a directory for the
// disk.
func examineDurability(ctx context.Context, facts hypervisor.Facts, program, workdir string) Check {
	const name = "durability"
	untried := func(err error) Check {
		return warn(name, "", "whether QEMU makes writes durable before it acknowledges them could not be tried: %v", err)
	}
	disk, err := scratch.StartSimulator(ctx, program, workdir)
	if err != nil {
		return untried(err)
	}
	defer disk.Close(ctx)
	about := flushpath.FactsOf(facts.QEMU, facts.Libvirt)
	noRaw := flushpath.LeavesRawOut(about.Libvirt)
	var early, kept, failed []string
	var surprise bool
	for _, aio := range []string{"threads", "native", "io_uring"} {
		durable, err := tryDurability(ctx, disk, facts.Emulator, aio, noRaw)
		if err != nil {
			failed = append(failed, fmt.Sprintf("io=%s could not be tried (%v)", aio, err))
			continue
		}
		model := flushpath.Predict(flushpath.Config{Cache: "directsync", IO: aio, Direct: true, Fsync: 1, QEMU: about.QEMU, NoRawNode: noRaw},
			cell.PowerLoss, cell.Volatile)
		surprise = surprise || durable != (model.Promises == flushpath.Kept)
		if durable {
			kept = append(kept, aio)
		} else {
			early = append(early, aio)
		}
	}
	rest := ""
	if surprise {
		rest = "; the model, which knows versions alone, says otherwise of this one: what was tried here counts"
	}
	for _, f := range failed {
		rest += "; " + f
	}
	switch {
	case len(early) == 0 && len(kept) == 0:
		return untried(errors.New(strings.Join(failed, "; ")))
	case len(early) == 0:
		return ok(name, "QEMU %s makes writethrough and directsync writes durable before it acknowledges them (io=%s, on the simulated disk)%s",
			facts.QEMU, strings.Join(kept, ", "), rest)
	}
	mend := "give raw disks of guests that rely on it a mode under which the guest flushes: cache=none on virtio"
	if len(kept) > 0 {
		mend = fmt.Sprintf("give raw disks of guests that rely on it io=%s (platter lint names them)", strings.Join(kept, " or "))
	}
	return warn(name, mend, "this QEMU (%s) acknowledges a writethrough write before it is durable: the first after start or after a flush, "+
		"with io=%s, under writethrough and directsync (on the simulated disk)%s", facts.QEMU, strings.Join(early, ", "), rest)
}

// tryDurability reports whether a QEMU's first write that is to be durable when it returns is so.
func tryDurability(ctx context.Context, disk *scratch.Simulator, emulator, aio string, noRaw bool) (durable bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, durabilityLimit)
	defer cancel()
	image := "durability-" + aio + ".img"
	path, err := disk.Create(ctx, powercut.ImageSpec{Name: image, SizeBytes: durabilitySize})
	if err != nil {
		return false, err
	}
	defer disk.Discard(ctx, image)
	q, err := startBareQEMU(ctx, emulator, path, aio, noRaw)
	if err != nil {
		return false, err
	}
	defer q.close()
	if err := q.io("write -f 0 4k"); err != nil {
		return false, err
	}
	written, at, err := unsynced(ctx, disk, image)
	if err == nil && written != 1 {
		err = fmt.Errorf("%d writes came to the disk instead of one", written)
	}
	if err != nil {
		return false, err
	}
	// The control.
	if err := q.io("write 64k 4k"); err != nil {
		return false, err
	}
	if _, then, err := unsynced(ctx, disk, image); err != nil || then <= at {
		return false, errors.Join(errors.New("a write without a flush does not show as lost: the test sees nothing"), err)
	}
	return at == 0, nil
}

// unsynced returns how many writes have reached an image of the simulated disk, and how many bytes of it a power loss would take.
func unsynced(ctx context.Context, disk *scratch.Simulator, image string) (writes, bytes int64, err error) {
	s, err := disk.Status(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, i := range s.Images {
		if i.Name == image {
			return i.Counters.Writes, i.DirtyHostBytes + i.DirtyDriveBytes, nil
		}
	}
	return 0, 0, fmt.Errorf("the simulated disk has no image %s", image)
}

// bareQEMU is a QEMU without a machine that has an image open.
type bareQEMU struct {
	command *exec.Cmd
	stdin   io.WriteCloser
	answers *bufio.Scanner
	said    strings.Builder // its stderr
	printed string          // what qemu-io printed between the answers of the monitor, the last line of it
	node    string
}

// startBareQEMU opens a raw image in a new QEMU as libvirt does for cache=none and directsync: with or without the raw format node.
func startBareQEMU(ctx context.Context, emulator, path, aio string, noRaw bool) (*bareQEMU, error) {
	storage, err := json.Marshal(map[string]any{"driver": "file", "node-name": "storage", "filename": path, "aio": aio,
		"cache": map[string]bool{"direct": true}})
	if err != nil {
		return nil, err
	}
	q := &bareQEMU{node: "storage"}
	args := []string{"-S", "-nodefaults", "-display", "none", "-machine", "none", "-qmp", "stdio", "-blockdev", string(storage)}
	if !noRaw {
		q.node = "format"
		args = append(args, "-blockdev", `{"driver":"raw","node-name":"format","file":"storage","cache":{"direct":true}}`)
	}
	q.command = exec.CommandContext(ctx, emulator, args...)
	q.command.Stderr = &q.said
	if q.stdin, err = q.command.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := q.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	q.answers = bufio.NewScanner(stdout)
	if err := q.command.Start(); err != nil {
		return nil, err
	}
	if _, err := q.ask(`{"execute":"qmp_capabilities"}`); err != nil {
		q.close()
		return nil, err
	}
	return q, nil
}

// ask sends a command to QEMU's monitor and returns its answer.
func (q *bareQEMU) ask(command string) (string, error) {
	_, werr := io.WriteString(q.stdin, command+"\n")
	for q.answers.Scan() {
		if !strings.HasPrefix(q.answers.Text(), "{") {
			q.printed = q.answers.Text()
			continue
		}
		var a struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		switch err := json.Unmarshal(q.answers.Bytes(), &a); {
		case err != nil:
			return "", fmt.Errorf("read QEMU's monitor: %w", err)
		case a.Error != nil:
			return "", errors.New(a.Error.Desc)
		case a.Return != nil:
			return string(a.Return), nil
		} // else the greeting, or an event
	}
	q.close()
	if said := strings.TrimSpace(q.said.String()); said != "" {
		last := strings.Split(said, "\n")
		return "", errors.New(last[len(last)-1])
	}
	return "", errors.Join(errors.New("QEMU ended and said nothing"), werr)
}

// io lets QEMU do a command of qemu-io's on the image, and returns when it has ended.
func (q *bareQEMU) io(command string) error {
	line, err := json.Marshal(map[string]any{"execute": "human-monitor-command",
		"arguments": map[string]string{"command-line": fmt.Sprintf("qemu-io %s %q", q.node, command)}})
	if err != nil {
		return err
	}
	q.printed = ""
	answer, err := q.ask(string(line))
	if err == nil && !strings.Contains(q.printed, "ops/sec") { // the last line that qemu-io prints of a write that went well
		err = fmt.Errorf("%s: %s %s", command, q.printed, answer)
	}
	return err
}

// close ends QEMU. A second call does nothing.
func (q *bareQEMU) close() {
	q.stdin.Close()
	_ = q.command.Process.Kill()
	_ = q.command.Wait()
}
