package powercut

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"platter/cell"
	"platter/powercut/oplog"
)

// naive is what the three layers hold according to a log, written down as plainly as oplog's documentation says it: for each
// layer the sectors that it holds above the one below.
type naive struct {
	size        int64
	sector      int64
	host, drive map[int64][]byte
	medium      map[int64][]byte
	writes      map[uint64][]byte
}

func newNaive(size int64, sector int) *naive {
	return &naive{size, int64(sector), map[int64][]byte{}, map[int64][]byte{}, map[int64][]byte{}, map[uint64][]byte{}}
}

func (n *naive) newest(s int64) []byte { return n.first(s, n.host, n.drive, n.medium) }

func (n *naive) first(s int64, layers ...map[int64][]byte) []byte {
	for _, l := range layers {
		if b, ok := l[s]; ok {
			return b
		}
	}
	return make([]byte, n.sector)
}

// within calls do for each sector of a range.
func (n *naive) within(offset, length int64, do func(s int64)) {
	if length == 0 {
		return
	}
	for s := offset / n.sector; s*n.sector < offset+length; s++ {
		do(s)
	}
}

func (n *naive) event(e oplog.Event, data []byte) {
	switch e.Kind {
	case oplog.Write:
		n.writes[e.Op] = slices.Clone(data)
		if e.Flags&oplog.Zero != 0 {
			n.writes[e.Op] = make([]byte, e.Length)
		}
	case oplog.WriteEnd:
		data := n.writes[e.Op]
		delete(n.writes, e.Op)
		n.within(e.Offset, e.Length, func(s int64) {
			b := slices.Clone(n.newest(s))
			for i := range b {
				if at := s*n.sector + int64(i) - e.Offset; at >= 0 && at < e.Length {
					b[i] = data[at]
				}
			}
			switch {
			case e.Flags&oplog.Dsync != 0:
				n.medium[s] = b
				delete(n.host, s)
				delete(n.drive, s)
			case e.Flags&oplog.Direct != 0:
				n.drive[s] = b
				delete(n.host, s)
			default:
				n.host[s] = b
			}
		})
	case oplog.Writeback:
		n.within(e.Offset, e.Length, func(s int64) { sink(n.host, n.drive, s) })
	case oplog.Destage:
		n.within(e.Offset, e.Length, func(s int64) { sink(n.drive, n.medium, s) })
	case oplog.Flushed:
		for s := range n.host {
			sink(n.host, n.drive, s)
		}
		for s := range n.drive {
			sink(n.drive, n.medium, s)
		}
	}
}

func sink(from, to map[int64][]byte, s int64) {
	if b, ok := from[s]; ok {
		to[s] = b
		delete(from, s)
	}
}

// crash takes what a crash takes, but for the sectors that the dice save.
func (n *naive) crash(volatile bool, seed uint64, image uint8) {
	layers := []map[int64][]byte{n.host}
	if volatile {
		layers = append(layers, n.drive)
	}
	for s := range n.size / n.sector {
		lost := n.host[s] != nil || volatile && n.drive[s] != nil
		if !lost {
			continue
		}
		newest := n.newest(s)
		for _, l := range layers {
			delete(l, s)
		}
		if seed != 0 && oplog.Dice(seed, image, s*n.sector/minSector)&1 == 1 {
			if volatile {
				n.medium[s] = newest
			} else {
				n.drive[s] = newest
			}
		}
	}
}

func (n *naive) content(layers ...map[int64][]byte) []byte {
	var all []byte
	for s := range n.size / n.sector {
		all = append(all, n.first(s, layers...)...)
	}
	return all
}

// rehearsal is a disk, a log of what happens to it, and what the log says of its layers.
type rehearsal struct {
	t     testing.TB
	disk  *Disk
	log   bytes.Buffer
	naive *naive
	plain []byte // what a client should read
}

func newRehearsal(t testing.TB, size int64, settings Settings) *rehearsal {
	t.Helper()
	d, err := newDisk(newOrder(), t.TempDir(), "disk.img", size, settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.closeLayers)
	r := &rehearsal{t: t, disk: d, naive: newNaive(size, d.settings.SectorBytes), plain: make([]byte, size)}
	r.startLog()
	return r
}

func (r *rehearsal) startLog() {
	r.log.Reset()
	if err := r.disk.order.startLog(&r.log, []*Disk{r.disk}); err != nil {
		r.t.Fatal(err)
	}
}

// catchUp lets the naive layers go through the log up to now, and begins another one. At the end of a generation it has a Cut.
func (r *rehearsal) catchUp() {
	r.t.Helper()
	if _, err := r.disk.order.stopLog([]*Disk{r.disk}); err != nil {
		r.t.Fatal(err)
	}
	for e, data := range events(r.t, r.log.Bytes()) {
		r.naive.event(e, data)
	}
	if len(r.naive.writes) != 0 {
		r.t.Fatalf("%d writes never ended", len(r.naive.writes))
	}
	r.startLog()
}

func events(t testing.TB, log []byte) func(func(oplog.Event, []byte) bool) {
	reader, err := oplog.NewReader(bytes.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(oplog.Event, []byte) bool) {
		for {
			e, data, err := reader.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !yield(e, data) {
				return
			}
		}
	}
}

// compare holds the disk's layers against the naive ones.
func (r *rehearsal) compare(what string) {
	r.t.Helper()
	r.catchUp()
	d, n := r.disk, r.naive
	got := make([]byte, d.size)
	if k, errno := d.read(d.newest, got, 0, false); k != len(got) || errno != 0 {
		r.t.Fatalf("%s: read %d, %v", what, k, errno)
	}
	if !bytes.Equal(got, r.plain) {
		r.t.Fatalf("%s: clients read something else than they wrote, from %d", what, differAt(got, r.plain))
	}
	if want := n.content(n.host, n.drive, n.medium); !bytes.Equal(got, want) {
		r.t.Fatalf("%s: the log says that something else is read, from %d", what, differAt(got, want))
	}
	if want := n.content(n.medium); !bytes.Equal(r.medium(), want) {
		r.t.Fatalf("%s: the log says that something else is on the medium, from %d", what, differAt(r.medium(), want))
	}
	if host, drive := int64(len(n.host))*n.sector, int64(len(n.drive))*n.sector; d.host.bytes() != host || d.drive.bytes() != drive {
		r.t.Fatalf("%s: %d bytes dirty in the host and %d in the drive, the log says %d and %d", what, d.host.bytes(), d.drive.bytes(),
			host, drive)
	}
	for s := range n.size / n.sector {
		at := s * n.sector
		bit := uint8(1) << (at % pageBytes / minSector)
		if p := uint32(at >> pageShift); d.host.get(p)&bit != 0 != (n.host[s] != nil) || d.drive.get(p)&bit != 0 != (n.drive[s] != nil) {
			r.t.Fatalf("%s: sector %d is dirty elsewhere than the log says", what, s)
		}
	}
}

func (r *rehearsal) medium() []byte {
	b := make([]byte, r.disk.size)
	if err := r.disk.medium.read(b, 0); err != nil {
		r.t.Fatal(err)
	}
	return b
}

func differAt(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// step does one of the things that can happen to a disk. dice is 8 bytes.
func (r *rehearsal) step(dice []byte) string {
	d := r.disk
	sector := int64(d.settings.SectorBytes)
	gen := d.newest
	flags := uint16(dice[1] & 3)
	offset := int64(binary.LittleEndian.Uint16(dice[2:])) * 37 % d.size
	length := 1 + int64(binary.LittleEndian.Uint16(dice[4:]))%20000
	if flags&oplog.Direct != 0 || dice[6]&1 == 0 {
		offset, length = offset/sector*sector, (length+sector-1)/sector*sector
	}
	length = min(length, d.size-offset)
	switch op := dice[0] % 16; {
	case op < 9:
		data := bytes.Repeat([]byte{dice[6], dice[7], dice[2]}, int(length)/3+1)[:length]
		copy(r.plain[offset:], data)
		if n, errno := d.write(gen, data, offset, flags); n != int(length) || errno != 0 {
			r.t.Fatalf("write: %d, %v", n, errno)
		}
		return fmt.Sprintf("write %d+%d flags %d", offset, length, flags)
	case op == 9:
		clear(r.plain[offset : offset+length])
		if errno := d.zero(gen, offset, length, flags); errno != 0 {
			r.t.Fatalf("zero: %v", errno)
		}
		return fmt.Sprintf("zero %d+%d flags %d", offset, length, flags)
	case op == 10:
		if errno := d.flush(gen); errno != 0 {
			r.t.Fatalf("flush: %v", errno)
		}
		return "flush"
	case op == 11:
		pages := d.oldest(&d.host, 0)
		d.writeBack(pages[:min(len(pages), 1+int(dice[1])%3)])
		return "write-back"
	case op == 12:
		pages := d.oldest(&d.drive, 0)
		if err := d.destage(pages[:min(len(pages), 1+int(dice[1])%3)]); err != nil {
			r.t.Fatal(err)
		}
		return "destage"
	case op == 13:
		d.drain(d.aboveThreshold)
		return "background"
	default:
		class := []string{cell.HostCrash, cell.PowerLoss}[dice[1]&1]
		seed := uint64(dice[7] % 4)
		r.catchUp()
		d.cut()
		if n, errno := d.write(gen, make([]byte, sector), 0, 0); errno != syscall.EIO {
			r.t.Fatalf("after a cut a write gave %d, %v", n, errno)
		}
		if err := d.restore(class, seed); err != nil {
			r.t.Fatal(err)
		}
		if _, errno := d.read(gen, make([]byte, 1), 0, false); errno != syscall.EIO {
			r.t.Fatalf("after the restore the old generation gave %v", errno)
		}
		r.naive.crash(class == cell.PowerLoss && d.settings.DriveCache == cell.Volatile, seed, 0)
		r.plain = r.naive.content(r.naive.host, r.naive.drive, r.naive.medium)
		return fmt.Sprintf("%s, seed %d", class, seed)
	}
}

func rehearse(t testing.TB, script []byte) {
	if len(script) < 2 {
		return
	}
	settings := Settings{
		DriveCache:  []string{cell.Volatile, cell.Protected, cell.NoCache}[script[0]%3],
		SectorBytes: []int{512, 4096}[script[0]/3%2],
		// Small enough to be hit.
		DriveCacheBytes: 24 << 10, DirtyBackgroundBytes: 32 << 10,
	}
	size := int64(40*pageBytes + 1536)
	if settings.SectorBytes == 4096 {
		size = 41 * pageBytes
	}
	r := newRehearsal(t, size, settings)
	past := fmt.Sprintf("%+v", settings)
	for script = script[1:]; len(script) >= 8; script = script[8:] {
		past += "; " + r.step(script)
		r.compare(past)
	}
}

func TestLayersAreWhatTheLogSaysAfterWhateverHappens(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 7))
		script := make([]byte, 1+8*100)
		for i := range script {
			script[i] = byte(random.Uint32())
		}
		script[0] = byte(seed)
		rehearse(t, script)
	}
}

func FuzzDisk(f *testing.F) {
	f.Add([]byte("0write001flush002cut00003"))
	f.Fuzz(func(t *testing.T, script []byte) {
		rehearse(t, script[:min(len(script), 1+8*60)])
	})
}

func TestNothingIsLostThatWasFlushedAndNothingElseIsKept(t *testing.T) {
	old, fresh := bytes.Repeat([]byte{1}, pageBytes), bytes.Repeat([]byte{2}, pageBytes)
	for _, c := range []struct {
		name  string
		drive string
		flags uint16
		flush bool
		kept  map[string]bool
	}{
		{"buffered", cell.Volatile, 0, false, map[string]bool{}},
		{"buffered and flushed", cell.Volatile, 0, true, map[string]bool{cell.HostCrash: true, cell.PowerLoss: true}},
		{"buffered, protected drive", cell.Protected, 0, false, map[string]bool{}},
		{"direct", cell.Volatile, oplog.Direct, false, map[string]bool{cell.HostCrash: true}},
		{"direct and flushed", cell.Volatile, oplog.Direct, true, map[string]bool{cell.HostCrash: true, cell.PowerLoss: true}},
		{"direct, protected drive", cell.Protected, oplog.Direct, false, map[string]bool{cell.HostCrash: true, cell.PowerLoss: true}},
		{"direct, no drive cache", cell.NoCache, oplog.Direct, false, map[string]bool{cell.HostCrash: true, cell.PowerLoss: true}},
		{"dsync", cell.Volatile, oplog.Dsync, false, map[string]bool{cell.HostCrash: true, cell.PowerLoss: true}},
		{"direct dsync", cell.Volatile, oplog.Direct | oplog.Dsync, false, map[string]bool{cell.HostCrash: true, cell.PowerLoss: true}},
	} {
		for _, class := range []string{cell.HostCrash, cell.PowerLoss} {
			r := newRehearsal(t, 1<<20, Settings{DriveCache: c.drive})
			d := r.disk
			must(t, d, old, 0)
			if errno := d.flush(1); errno != 0 {
				t.Fatal(errno)
			}
			d.write(1, fresh, 0, c.flags)
			if c.flush {
				d.flush(1)
			}
			d.cut()
			if err := d.restore(class, 0); err != nil {
				t.Fatal(err)
			}
			want := old
			if c.kept[class] {
				want = fresh
			}
			got := make([]byte, pageBytes)
			if _, errno := d.read(2, got, 0, false); errno != 0 || !bytes.Equal(got, want) {
				t.Errorf("%s after %s: read %d, %v, want %d", c.name, class, got[0], errno, want[0])
			}
		}
	}
}

func must(t testing.TB, d *Disk, data []byte, flags uint16) {
	t.Helper()
	if n, errno := d.write(d.newest, data, 0, flags); n != len(data) || errno != 0 {
		t.Fatalf("write: %d, %v", n, errno)
	}
}

func TestMutantsLieInTheLog(t *testing.T) {
	for mutant, want := range map[string][]byte{
		"":          {1, 1, 1, 1},
		IgnoreFlush: {0, 0, 0, 0},
		LateFlush:   {0, 0, 0, 0},
		Tear:        {1, 0, 1, 0},
		Reorder:     {0, 0, 1, 1},
	} {
		r := newRehearsal(t, 1<<20, Settings{Mutant: mutant})
		d := r.disk
		must(t, d, bytes.Repeat([]byte{1}, pageBytes), 0)
		d.write(1, bytes.Repeat([]byte{1}, pageBytes), pageBytes, oplog.Direct)
		if mutant == Reorder { // the drive's come first: they are older
			must(t, d, bytes.Repeat([]byte{1}, pageBytes), oplog.Direct)
		}
		if errno := d.flush(1); errno != 0 {
			t.Fatal(errno)
		}
		d.order.Lock()
		d.order.stopLog([]*Disk{d})
		var kinds []oplog.Kind
		for e := range events(t, r.log.Bytes()) {
			kinds = append(kinds, e.Kind)
		}
		d.order.Unlock()
		if said := slices.Contains(kinds, oplog.Flushed); said != (mutant != LateFlush) {
			t.Errorf("%s: the log has %v", mutant, kinds)
		}
		d.cut()
		if err := d.restore(cell.PowerLoss, 0); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 2*pageBytes)
		d.read(2, got, 0, false)
		if halves := []byte{got[0], got[2048], got[4096], got[4096+2048]}; mutant != Reorder && !bytes.Equal(halves, want) {
			t.Errorf("%s: %v survived, want %v", mutant, halves, want)
		} else if mutant == Reorder && halves[0] == halves[2] {
			t.Errorf("%s: %v survived, want one page of the two", mutant, halves)
		}
	}
}

func TestALateFlushTakesEffectLater(t *testing.T) {
	r := newRehearsal(t, 1<<20, Settings{Mutant: LateFlush})
	d := r.disk
	must(t, d, bytes.Repeat([]byte{1}, pageBytes), 0)
	d.flush(1)
	for range 1000 {
		d.order.Lock()
		clean := d.host.pages == 0
		d.order.Unlock()
		if clean {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	d.order.Lock()
	defer d.order.Unlock()
	if d.host.pages != 0 || r.medium()[0] != 1 {
		t.Error("the flush never came")
	}
	d.order.stopLog([]*Disk{d})
	var kinds []oplog.Kind
	for e := range events(t, r.log.Bytes()) {
		kinds = append(kinds, e.Kind)
	}
	if want := []oplog.Kind{oplog.Write, oplog.WriteEnd, oplog.Flush, oplog.FlushEnd, oplog.Flushed}; !slices.Equal(kinds, want) {
		t.Errorf("the log has %v, want %v", kinds, want)
	}
}

func TestAWriteInItsLatencyAtTheCutTouchesNothing(t *testing.T) {
	r := newRehearsal(t, 1<<20, Settings{WriteLatency: 2 * time.Second, FlushLatency: 2 * time.Second})
	d := r.disk
	answer := make(chan syscall.Errno)
	go func() {
		_, errno := d.write(1, bytes.Repeat([]byte{1}, pageBytes), 0, oplog.Direct)
		answer <- errno
	}()
	for arrived := false; !arrived; time.Sleep(time.Millisecond) {
		d.order.Lock()
		arrived = d.order.ops == 1
		d.order.Unlock()
	}
	d.order.Lock()
	d.cut()
	if err := d.restore(cell.HostCrash, 0); err != nil {
		t.Error(err)
	}
	d.order.Unlock()
	if errno := <-answer; errno != syscall.EIO {
		t.Errorf("the write got %v", errno)
	}
	got := make([]byte, pageBytes)
	if _, errno := d.read(2, got, 0, false); errno != 0 || !bytes.Equal(got, make([]byte, pageBytes)) {
		t.Error("the write landed after the cut")
	}
	d.order.stopLog([]*Disk{d})
	for e := range events(t, r.log.Bytes()) {
		if e.Kind != oplog.Write {
			t.Errorf("the log has kind %d", e.Kind)
		}
	}
}

func TestOldPagesAreWrittenBackAndOldDriveCacheIsKept(t *testing.T) {
	d := newRehearsal(t, 1<<20, Settings{DirtyExpire: time.Hour}).disk
	must(t, d, make([]byte, pageBytes), 0)
	d.drain(d.expired)
	if d.host.pages != 1 {
		t.Error("a young page was written back")
	}
	d.order.begin = d.order.begin.Add(-2 * time.Hour) // time passes
	d.drain(d.expired)
	d.drain(d.driveExpired)
	if d.host.pages != 0 || d.drive.pages != 1 {
		t.Errorf("after two hours %d pages are dirty in the host, %d in the drive; want 0 and 1", d.host.pages, d.drive.pages)
	}
	d.settings.DriveCacheExpire = time.Minute
	d.order.begin = d.order.begin.Add(-2 * time.Minute)
	d.drain(d.driveExpired)
	if d.drive.pages != 0 {
		t.Error("an expired page stayed in the drive's cache")
	}
}

func TestRequestsThatADiskRefuses(t *testing.T) {
	d := newRehearsal(t, 1<<20, Settings{SectorBytes: 4096}).disk
	sector := make([]byte, 512)
	if _, errno := d.write(1, sector, 0, oplog.Direct); errno != syscall.EINVAL {
		t.Errorf("O_DIRECT write below the sector: %v", errno)
	}
	if _, errno := d.read(1, sector, 0, true); errno != syscall.EINVAL {
		t.Errorf("O_DIRECT read below the sector: %v", errno)
	}
	if _, errno := d.write(1, sector, 1<<20, 0); errno != syscall.ENOSPC {
		t.Errorf("write beyond the end: %v", errno)
	}
	if n, errno := d.write(1, sector, 1<<20-100, 0); n != 100 || errno != 0 {
		t.Errorf("write across the end: %d, %v", n, errno)
	}
	if n, errno := d.read(1, sector, 1<<20-100, false); n != 100 || errno != 0 {
		t.Errorf("read across the end: %d, %v", n, errno)
	}
	for _, s := range []Settings{
		{DriveCache: "fast"}, {SectorBytes: 520}, {WriteLatency: -1}, {FlushLatency: time.Hour}, {DirtyExpire: -1},
		{DriveCacheBytes: 1}, {Mutant: "evil"},
	} {
		_, err := newDisk(newOrder(), t.TempDir(), "disk.img", 1<<20, s)
		var e *Error
		if !errors.As(err, &e) || e.Fault != Usage {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, size := range []int64{-512, 0, 513, 1 << 60} {
		if _, err := newDisk(newOrder(), t.TempDir(), "disk.img", size, Settings{}); err == nil {
			t.Errorf("an image of %d bytes was made", size)
		}
	}
}

func TestAHugeDiscardTakesNoSpace(t *testing.T) {
	d := newRehearsal(t, 10<<30, Settings{}).disk
	must(t, d, bytes.Repeat([]byte{1}, 1<<20), oplog.Dsync)
	if errno := d.zero(1, 0, 10<<30, oplog.Direct); errno != 0 {
		t.Fatal(errno)
	}
	if errno := d.flush(1); errno != 0 {
		t.Fatal(errno)
	}
	for name, l := range map[string]*layer{"current": &d.current, "staged": &d.staged, "medium": &d.medium} {
		var st syscall.Stat_t
		if err := syscall.Fstat(l.fd, &st); err != nil || st.Blocks > 64 {
			t.Errorf("%s takes %d blocks, %v", name, st.Blocks, err)
		}
	}
}

func TestAFullFileSystemIsAnErrorAndNotTheEndOfTheServer(t *testing.T) {
	d := newRehearsal(t, 1<<20, Settings{}).disk
	// A mapped page behind the end of its file faults as one does for which there is no block.
	if err := d.current.Truncate(pageBytes); err != nil {
		t.Fatal(err)
	}
	for _, flags := range []uint16{0, oplog.Direct, oplog.Dsync} {
		if _, errno := d.write(1, make([]byte, pageBytes), 8*pageBytes, flags); errno != syscall.ENOSPC {
			t.Errorf("write with flags %d: %v", flags, errno)
		}
	}
	if _, err := d.order.stopLog([]*Disk{d}); err == nil {
		t.Error("the log says nothing of it")
	}
}
