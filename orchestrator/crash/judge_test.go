package crash

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platter/cell"
	"platter/fault"
	"platter/matrices"
	"platter/orchestrator/guest"
	"platter/powercut/oplog"
	"platter/powercut/replay"
	"platter/powercut/witness"
	"platter/results"
)

// keptLog is a campaign of eight writes on an ext4, each flushed before it was promised: no class breaks a promise.
func keptLog(t *testing.T) (*Campaigns, *recording, cell.Cell) {
	t.Helper()
	dir := t.TempDir()
	layout := witness.Layout{Campaign: 7, Pattern: witness.Overwrite, Jobs: 1, BlockBytes: 4096, Blocks: 16}
	c := replay.Campaign{Layout: layout, Data: 0, Witness: 1, Filesystem: "none", Format: "raw", SizeBytes: 1 << 16}
	rec := &recording{witness: &probe{job: guest.ProbeJob{Layout: layout}, storage: dir},
		base: &baseImage{path: filepath.Join(dir, "base.raw"), size: c.SizeBytes}, log: filepath.Join(dir, "oplog")}
	image, err := os.Create(rec.base.path)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if err := c.WriteBase(nil, image); err != nil {
		t.Fatal(err)
	}
	c.Filesystem = "ext4"
	rec.campaign = c
	f, err := os.Create(rec.log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := oplog.NewWriter(f, []oplog.Image{{Name: "data", SizeBytes: c.SizeBytes}, {Name: "witness", SizeBytes: witness.DiskBytes}})
	if err != nil {
		t.Fatal(err)
	}
	now, op := int64(0), uint64(0)
	add := func(e oplog.Event, data []byte) {
		now += 1_000_000
		e.TimeNS, e.Op = now, op
		if err := w.Append(e, data); err != nil {
			t.Fatal(err)
		}
	}
	write := func(e oplog.Event, data []byte) {
		op++
		e.Kind, e.Flags, e.Length = oplog.Write, oplog.Direct, int64(len(data))
		add(e, data)
		e.Kind = oplog.WriteEnd
		add(e, nil)
	}
	walk := layout.Walk(0)
	for n := range uint32(8) {
		stamp, block, record := walk.Next(), make([]byte, layout.BlockBytes), make([]byte, witness.RecordSize)
		stamp.PutBlock(block)
		write(oplog.Event{Image: 0, Offset: layout.Home(0, stamp.Block)}, block)
		op++
		for _, kind := range []oplog.Kind{oplog.Flush, oplog.Flushed, oplog.FlushEnd} {
			add(oplog.Event{Kind: kind}, nil)
		}
		promise := witness.Record{Campaign: layout.Campaign, Kind: witness.Promise, Serial: uint64(n) + 1, Sequence: n + 1}
		promise.Put(record)
		write(oplog.Event{Image: 1, Offset: promise.Offset()}, record)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	x := &Campaigns{Rig: fakeRig{}, Storage: dir, Seed: 7, Safety: matrices.Safety{
		Classes: []string{cell.GuestCrash, cell.QEMUKill, cell.HostCrash, cell.PowerLoss}, DriveCaches: []string{"volatile", "protected"},
		Pattern: witness.Overwrite, Points: 6}}
	of := cellWith("guest.filesystem", "ext4")
	of.ID = "cell"
	return x, rec, of
}

// tools puts scripts before the programs of their names for the rest of the test, and gives their directory.
func tools(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return dir
}

// dumps is a debugfs that gives the whole disk for the file, and notes each call.
const dumps = `echo >>"$(dirname "$0")/calls"; p=${2#dump /data \"}; cp "$3" "${p%\"}"`

func TestASurvivorIsReadThroughItsFileSystemOnceForAllTheQuestionsItAnswers(t *testing.T) {
	x, rec, c := keptLog(t)
	dir := tools(t, map[string]string{"e2fsck": "exit 0", "debugfs": dumps})
	records, err := x.judge(t.Context(), c, rec, Questions(x.Safety), 6)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Filesystem != "" || r.Promises != 8 || r.PromisesLost != 0 {
			t.Errorf("%s, %s: %d of %d promises lost; %s", r.Class, r.DriveCache, r.PromisesLost, r.Promises, r.Filesystem)
		}
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	const layers = 4 // eight questions take
	if n := strings.Count(string(calls), "\n"); err != nil || n != checkedPoints*layers {
		t.Errorf("%d survivors were read (%v), want %d", n, err, checkedPoints*layers)
	}
}

func TestAFileThatIsGoneFromItsFileSystemIsALossAtAPointWithItsTime(t *testing.T) {
	x, rec, c := keptLog(t)
	tools(t, map[string]string{"e2fsck": "exit 0", "debugfs": `echo "/data: File not found by ext2_lookup" >&2`})
	records, err := x.judge(t.Context(), c, rec, Questions(x.Safety), 6)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if !strings.Contains(r.Filesystem, "its file is gone") || r.Worst == nil || r.Worst.MS != float64(r.Worst.Point) {
			t.Errorf("%s, %s: %q at %+v", r.Class, r.DriveCache, r.Filesystem, r.Worst)
		}
	}
}

func TestADebugfsThatCannotDoItsWorkIsNoLossOfTheCell(t *testing.T) {
	x, rec, c := keptLog(t)
	for _, says := range []string{
		"dump: No space left on device while writing file",
		"dump: Too many open files while opening /srv/data.dump for dump_inode",
		"debugfs: Cannot allocate memory while trying to open survivor.img",
	} {
		tools(t, map[string]string{"e2fsck": "exit 0", "debugfs": `p=${2#dump /data \"}; : >"${p%\"}"; echo "` + says + `" >&2`})
		if records, err := x.judge(t.Context(), c, rec, Questions(x.Safety), 6); err == nil || Whose(err) != fault.Rig {
			t.Errorf("%s: %v, and %d records", says, err, len(records))
		}
		ledger, err := replay.LedgerFile(replay.File(rec.log), rec.campaign, -1)
		if err != nil {
			t.Fatal(err)
		}
		files := rec.campaign
		files.Layout.Pattern = witness.Append
		if loss, err := rec.witness.Check(t.Context(), survivor{}, files, ledger); err == nil || Whose(err) != fault.Rig {
			t.Errorf("%s: %v, and %+v", says, err, loss)
		}
	}
}

func TestSurvivorsOfAFileSystemThatMovesBlocksAreReadInAGuestAndNotByTheirPlaces(t *testing.T) {
	broken := &guest.BrokenError{ExitError: &guest.ExitError{Status: 4, Stderr: "mount failed"}}
	for _, fs := range []string{"btrfs", "f2fs"} {
		x, rec, _ := keptLog(t)
		c := cellWith("guest.filesystem", fs, "fio.fsync", "1")
		rec.campaign.Filesystem = fs
		for _, try := range []struct {
			machine fakeMachine
			lost    int64
			broken  bool
		}{
			{machine: fakeMachine{}},
			{machine: fakeMachine{lost: 3}, lost: 3},
			{machine: fakeMachine{prepare: broken}, lost: 8, broken: true},
		} {
			x.Rig = fakeRig{machine: &try.machine}
			records, err := x.judge(t.Context(), c, rec, Questions(x.Safety), 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				if r.CrashPoints != 3 || r.Promises != 8 || r.PromisesLost != try.lost || (r.Filesystem != "") != try.broken {
					t.Errorf("%s, %s: %d points, %d of %d promises lost, want %d; %s", fs, r.Class, r.CrashPoints, r.PromisesLost, r.Promises, try.lost,
						r.Filesystem)
				}
			}
			const layers = 4 // eight questions take
			if want := 3 * layers; try.machine.attaches != want {
				t.Errorf("%s: %d survivors were plugged in, want %d", fs, try.machine.attaches, want)
			}
		}
		x.Rig = fakeRig{machine: &fakeMachine{prepare: guest.ErrLost}}
		if records, err := x.judge(t.Context(), c, rec, Questions(x.Safety), 3); err == nil {
			t.Errorf("%s: a guest that is gone judged %d records", fs, len(records))
		}
		if x.method(c) != results.Sampled {
			t.Errorf("%s: the method is %s", fs, x.method(c))
		}
		if _, err := replay.EveryFile(replay.File(rec.log), rec.campaign, Questions(x.Safety)); err == nil {
			t.Errorf("%s: its log was judged by the places of blocks", fs)
		}
	}
}

func TestThePointAtWhichAFileSystemBreaksStaysTheWorst(t *testing.T) {
	ledger := func(ms float64) *replay.Ledger { return &replay.Ledger{MS: ms} }
	var r results.Safety
	addSample(&r, replay.At{Point: 10}, survivor{}, replay.Loss{ExposedWrites: 1}, ledger(1))
	addSample(&r, replay.At{Point: 20, Seed: 5}, survivor{broken: "its journal is gone"}, replay.Loss{}, ledger(2))
	addSample(&r, replay.At{Point: 30}, survivor{}, replay.Loss{ExposedWrites: 3}, ledger(3))
	if want := (results.CrashPoint{Point: 20, MS: 2, Seed: 5}); r.Worst == nil || *r.Worst != want || r.Filesystem == "" ||
		r.Exposure.Writes != 3 {
		t.Errorf("the worst point is %+v, want %+v: %+v", r.Worst, want, r)
	}
	addSample(&r, replay.At{Point: 40}, survivor{}, replay.Loss{PromisesLost: 1}, ledger(4))
	if r.Worst.Point != 40 {
		t.Errorf("a lost promise is worse: %+v", r.Worst)
	}
}
