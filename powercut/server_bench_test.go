package powercut

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// copier is a FUSE server that only copies the requests into memory: what a disk without any simulation would cost.
type copier struct {
	fuse.RawFileSystem
	memory []byte
}

const copierNode = 2

func (c *copier) attr(a *fuse.Attr, node uint64) {
	a.Ino, a.Mode = node, syscall.S_IFDIR|0o755
	if node == copierNode {
		a.Mode, a.Size, a.Blksize = syscall.S_IFREG|0o666, uint64(len(c.memory)), pageBytes
	}
}

func (c *copier) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if name != "disk.img" {
		return fuse.ENOENT
	}
	out.NodeId = copierNode
	c.attr(&out.Attr, copierNode)
	return fuse.OK
}

func (c *copier) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	c.attr(&out.Attr, in.NodeId)
	return fuse.OK
}

func (c *copier) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_PARALLEL_DIRECT_WRITES
	return fuse.OK
}

func (c *copier) Writev(_ <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	return uint32(copy(c.memory[in.Offset:], data[0])), fuse.OK
}

func (c *copier) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }
func (c *copier) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

const benchBytes = 256 << 20

// serveCopier is the hidden command copier MOUNT of the test binary: each server has a process of its own, as in life.
func serveCopier(mount string) error {
	server, err := fuse.NewServer(&copier{fuse.NewDefaultRawFileSystem(), make([]byte, benchBytes)}, mount, mountOptions("copier"))
	if err != nil {
		return err
	}
	fmt.Println()
	server.Serve()
	return nil
}

// iops is what fio gets out of an image: psync, 4 KiB, random writes.
func iops(b *testing.B, path string, clients int, fsync bool) float64 {
	b.Helper()
	args := []string{"--name=x", "--filename=" + path, "--ioengine=psync", "--rw=randwrite", "--bs=4k", "--size=256m", "--allow_file_create=0",
		"--time_based", "--runtime=600ms", "--ramp_time=200ms", "--output-format=json", "--group_reporting", fmt.Sprintf("--numjobs=%d",
			clients), "--thread"}
	if fsync {
		args = append(args, "--fsync=1")
	}
	out, err := exec.Command("fio", args...).Output()
	if err != nil {
		b.Fatal(err)
	}
	var report struct {
		Jobs []struct{ Write struct{ IOPS float64 } }
	}
	if err := json.Unmarshal(out[strings.IndexByte(string(out), '{'):], &report); err != nil {
		b.Fatal(err)
	}
	return report.Jobs[0].Write.IOPS
}

// BenchmarkServer is side by side with the server that only copies, in turns, on images of which every page was written before; the
// medians of nine runs each are compared. Aim: 0.80.
func BenchmarkServer(b *testing.B) {
	needsFUSE(b)
	ours := b.TempDir()
	p, err := Launch(b.Context(), os.Args[0], ours, filepath.Join(b.TempDir(), "state"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close(b.Context()) })
	disk := image(b, p.Client, ImageSpec{Name: "disk.img", SizeBytes: benchBytes})
	theirs := b.TempDir()
	c := exec.Command(os.Args[0], "powercut", "copier", theirs, "")
	ready, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		detach(theirs)
		c.Wait()
	})
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	memory := filepath.Join(theirs, "disk.img")
	for _, path := range []string{disk, memory} { // each page once, in random order
		fio := exec.Command("fio", "--name=x", "--filename="+path, "--ioengine=psync", "--rw=randwrite", "--bs=4k", "--size=256m",
			"--fsync=1", "--allow_file_create=0")
		if out, err := fio.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	for _, clients := range []int{1, 2} {
		for _, fsync := range []bool{false, true} {
			b.Run(fmt.Sprintf("clients=%d/fsync=%v", clients, fsync), func(b *testing.B) {
				for range b.N {
					var us, copying []float64
					for range 9 {
						us = append(us, iops(b, disk, clients, fsync))
						copying = append(copying, iops(b, memory, clients, fsync))
					}
					for _, v := range [][]float64{us, copying} {
						slices.Sort(v)
					}
					b.ReportMetric(us[4]/copying[4], "ratio")
					b.ReportMetric(us[4], "iops")
					b.ReportMetric(copying[4], "copying-iops")
					b.ReportMetric(0, "ns/op")
				}
			})
		}
	}
}
