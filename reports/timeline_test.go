package reports

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"platter/cell"
	"platter/internal/golden"
	"platter/powercut/replay"
	"platter/results"
	"platter/text"
)

// Where campaigns of real guests lie: under cache=unsafe on QEMU 7.2, and the beginning of one under cache=writethrough on QEMU 10.0.13.
const (
	unsafeCampaign     = "../cmd/platter/testdata/schema1/run/raw/disk.cache=unsafe,fio.fsync=1/safety/"
	firstWriteCampaign = "testdata/first-write/"
	overlapsCampaign   = "testdata/overlaps/" // the same with four jobs
)

// timelines are of a made-up log, which replay's own golden file holds, and of real ones.
func timelines(t testing.TB) map[string]*replay.Timeline {
	t.Helper()
	content, err := os.ReadFile("../powercut/replay/testdata/timeline.json")
	if err != nil {
		t.Fatal(err)
	}
	made := new(replay.Timeline)
	if err := json.Unmarshal(content, made); err != nil {
		t.Fatal(err)
	}
	return map[string]*replay.Timeline{"made": made, "unsafe": recordedTimeline(t, unsafeCampaign, 100),
		"first-write": recordedTimeline(t, firstWriteCampaign, 3),
		"overlaps":    recordedTimeline(t, overlapsCampaign, 162)}
}

// recordedTimeline is of a power loss at a point of a campaign's log.
func recordedTimeline(t testing.TB, dir string, point int64) *replay.Timeline {
	t.Helper()
	f, err := os.Open(dir + "campaign.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := replay.ReadCampaign(f)
	if err != nil {
		t.Fatal(err)
	}
	at := replay.At{Point: point, Question: cell.Question{Class: cell.PowerLoss, DriveCache: cell.Volatile}}
	line, err := replay.TimelineFile(replay.File(dir+"oplog.gz"), c, at, TimelineSteps)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// QEMU 10 tells the application that its first write is durable 2.4 ms before the sync that makes it so.
func TestTheFirstWritesPromiseComesBeforeItsFlush(t *testing.T) {
	f := recordedTimeline(t, firstWriteCampaign, 3).Fate
	if f == nil || !f.First || f.Flushed == nil || f.Promised.Event != 3 || f.Flushed.Event != 10 {
		t.Errorf("%+v", f)
	}
	// So it is later with a write that came just behind another's sync.
	f = recordedTimeline(t, overlapsCampaign, 162).Fate
	if f == nil || f.First || f.Flushed == nil || f.Job != 2 || f.Promised.Event != 162 || f.Flushed.Event <= 162 {
		t.Errorf("%+v", f)
	}
}

func TestTimelinesAreDrawnForATerminal(t *testing.T) {
	for name, line := range timelines(t) {
		var plain, colored bytes.Buffer
		if err := Timeline(&plain, line, false); err != nil {
			t.Fatal(err)
		}
		if err := Timeline(&colored, line, true); err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, "testdata/timeline-"+name+".txt", plain.Bytes())
		for row := range strings.Lines(plain.String()) {
			if text.Width(strings.TrimSuffix(row, "\n")) > text.Columns {
				t.Errorf("%s: wider than %d columns: %s", name, text.Columns, row)
			}
		}
		bare := strings.NewReplacer("\x1b["+red+"m", "", "\x1b["+dim+"m", "", "\x1b[0m", "").Replace(colored.String())
		if bare != plain.String() {
			t.Errorf("%s: in colour it says something else:\n%s", name, bare)
		}
		if !strings.Contains(colored.String(), "\x1b["+red+"mX") {
			t.Errorf("%s: the lost write is not red: %q", name, colored.String())
		}
	}
}

// Every column that a timeline of many lanes and steps has, fits.
func TestALongTimelineHasAsManyColumnsAsFit(t *testing.T) {
	line := timelines(t)["unsafe"]
	for width := 20; width < 100; width++ {
		columns := timelineColumns(line, width)
		if len(columns) > width {
			t.Errorf("%d columns, room for %d", len(columns), width)
		}
		cuts, last := 0, -1
		for _, c := range columns {
			if c == columnCut {
				cuts++
			}
			if c >= 0 && c <= last {
				t.Errorf("step %d comes after %d", c, last)
			}
			last = max(last, c)
		}
		if cuts != 1 {
			t.Errorf("width %d: %d cuts", width, cuts)
		}
	}
}

func TestReproductionsAreThoseThatAreKnown(t *testing.T) {
	lost := &replay.Timeline{Class: cell.PowerLoss, DriveCache: cell.Volatile, Lost: 1, Fate: &replay.Fate{First: true}}
	later := &replay.Timeline{Class: cell.HostCrash, DriveCache: cell.Protected, Lost: 1, Fate: &replay.Fate{}}
	old := results.Hypervisor{QEMU: "7.2.22", Libvirt: "9.0.0"}
	newer := results.Hypervisor{QEMU: "10.0.13", Libvirt: "9.0.0"}
	bare := results.Hypervisor{QEMU: "7.2.22", Libvirt: "11.3.0"}
	for _, test := range []struct {
		name string
		axes cell.Settings
		host results.Hypervisor
		line *replay.Timeline
		want string // part of the lines, or of the text where there are none
	}{
		{"unsafe", axes("disk.cache", "unsafe"), old, lost,
			`qemu-io -f raw -t unsafe -c 'write -P 17 0 4k' -c flush -c 'sigraise 9' "$d/disk.img"`},
		{"the first write", axes("disk.cache", "writethrough"), newer, lost,
			`qemu-io -f raw -t writethrough -c 'write -P 17 0 4k' -c 'sigraise 9' "$d/disk.img"`},
		{"without raw node", axes("disk.cache", "directsync"), bare, lost,
			`qemu-io --image-opts -t directsync -c 'write -P 17 0 4k' -c 'sigraise 9' driver=file,filename="$d/disk.img"`},
		{"overlapping", axes("disk.cache", "writethrough", "fio.numjobs", 4), newer, later, "delay_exit=1000000"},
		{"another class and drive", axes("disk.cache", "unsafe"), old, later, "--drive-cache protected &\n"},
		{"its cut", axes("disk.cache", "unsafe"), old, later, `platter powercut host-crash "$d"`},
		{"cache_type in the guest", axes("disk.cache", "none", "guest.cache_type", "write through"), newer, lost, "-t directsync"},
		{"FUA", axes("disk.cache", "none", "disk.bus", "scsi"), newer, lost, "write -f -P 17"},
		{"writethrough on 7.2", axes("disk.cache", "writethrough"), old, lost, "QEMU 7.2.22 as libvirt 9.0.0 starts it is not known to lose"},
		{"native", axes("disk.cache", "directsync", "disk.io", "native"), newer, lost, "io=native"},
		{"barrier", axes("disk.cache", "none", "guest.filesystem", "ext4", "guest.barrier", "off"), newer, lost, "barrier=0"},
		{"qcow2", axes("disk.cache", "unsafe", "storage.format", "qcow2"), newer, lost, "this one is qcow2"},
		{"nvme", axes("disk.cache", "none", "disk.bus", "nvme"), newer, lost, "drops the FUA bit"},
		{"plain none", axes("disk.cache", "none"), newer, lost, "flushes arrive at QEMU"},
		{"FUA, buffered", axes("disk.cache", "writeback", "disk.bus", "scsi"), newer, later, "-t writeback -c 'write -f"},
		{"FUA, by default", axes("disk.bus", "scsi"), newer, later, "-t writeback -c 'write -f"},
		{"a killed QEMU", axes("disk.cache", "unsafe"), old, &replay.Timeline{Class: cell.QEMUKill, DriveCache: cell.Volatile, Lost: 1},
			"the failure is above the host"},
		{"a host crash under directsync", axes("disk.cache", "directsync"), newer, later, "is in the drive's cache"},
		{"10.0.2", axes("disk.cache", "directsync"), results.Hypervisor{QEMU: "10.0.2", Libvirt: "11.3.0"}, lost, "is not known to lose"},
		{"nothing lost", axes("disk.cache", "unsafe"), old, &replay.Timeline{}, "no promised write is lost"},
	} {
		got := Reproduce(cell.Cell{Settings: test.axes}, test.host, test.line)
		said := got.Text
		if len(got.Lines) > 0 {
			said = strings.Join(got.Lines, "\n")
		}
		if !strings.Contains(said, test.want) {
			t.Errorf("%s: %s\nwant %s", test.name, said, test.want)
		}
		if (len(got.Lines) == 0) != strings.HasPrefix(got.Text, "There is no reproduction without a guest: ") {
			t.Errorf("%s: lines and text disagree: %q, %s", test.name, got.Lines, got.Text)
		}
	}
}
