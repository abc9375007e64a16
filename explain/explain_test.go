package explain

import (
	"platter/flushpath"
	"platter/libvirtxml"
	"strings"
	"testing"
)

func TestAJobTakesFiosDefaultsForWhatAJobLeavesOut(t *testing.T) {
	for text, want := range map[string]flushpath.Config{
		"":                                    {Sync: "none", Writers: 1},
		"rw=randwrite fsync=8":                {Sync: "none", Fsync: 8, Writers: 1},
		"direct=1 fdatasync=1 bs=4k":          {Sync: "none", Direct: true, Fdatasync: 1, Writers: 1},
		"buffered=0 sync=1":                   {Sync: "sync", Direct: true, Writers: 1},
		"buffered=1 sync=dsync rw=rw:8k":      {Sync: "dsync", Writers: 1},
		"numjobs=4 iodepth=8":                 {Sync: "none", Writers: 4},
		"numjobs=4 iodepth=8 ioengine=libaio": {Sync: "none", Writers: 32},
	} {
		if got, err := Job(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func FuzzJob(f *testing.F) {
	f.Add("rw=randwrite fsync=1 direct=1")
	f.Add("rw=write sync=dsync buffered=1 fdatasync=32")
	f.Add("fsync==1 direct fsync=99999999999")
	f.Fuzz(func(t *testing.T, text string) {
		job, err := Job(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: the error has two lines: %v", text, err)
			}
			return
		}
		if job.Fsync < 0 || job.Fdatasync < 0 || job.Check() != nil {
			t.Errorf("%q: %+v", text, job)
		}
	})
}

func TestADiskIsSkippedThatHasNothingToLose(t *testing.T) {
	for want, d := range map[string]libvirtxml.Disk{
		"a cdrom":   {Device: "cdrom"},
		"a floppy":  {Device: "floppy"},
		"read-only": {Device: "disk", ReadOnly: true},
		"device=":   {Device: "lun", Source: libvirtxml.Source{Kind: "block"}},
		"type='vh":  {Device: "disk", Source: libvirtxml.Source{Kind: "vhostuser"}},
		"driver": {Device: "disk", Source: libvirtxml.Source{Kind: "file"},
			Driver: []libvirtxml.DriverAttr{{Attr: libvirtxml.Attr{Name: "name", Value: "tap"}}}},
		"": {Device: "disk", Source: libvirtxml.Source{Kind: "file"}},
	} {
		if got := notExplained(d); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
}

func TestAJobHasAtLeastOneWriter(t *testing.T) {
	for _, text := range []string{"numjobs=0", "iodepth=-1", "numjobs=x", "iodepth=70000"} {
		if job, err := Job(text); err == nil || !strings.Contains(err.Error(), "a number from 1 to 65535") {
			t.Errorf("%q: %+v, %v", text, job, err)
		}
	}
}
