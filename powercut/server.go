package powercut

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"platter/cell"
	"platter/powercut/oplog"
)

const maxName = 255

// Server serves images at a mount point, and its clients at a socket in its state directory, where the images' layers lie too.
type Server struct {
	mount, state string
	fs           *filesystem
	order        *order
	fuse         *fuse.Server
	control      *http.Server
	guard        io.Closer
	ctx          context.Context // of the disks' background
	stop         context.CancelFunc
	background   sync.WaitGroup
	done         chan struct{} // closed when the mount is gone

	admin   sync.Mutex // one command at a time
	disks   []*Disk
	class   string // of the cut, "" while none
	logFile *os.File
}

// NewServer mounts a server of no images yet at an empty directory. Its layers lie in the directory state, which is made if it is
// missing. guard is the path of the platter binary, from which a second process is started that unmounts when this one was killed; ""
// is for tests, where nothing does. Close must be called.
func NewServer(mount, state, guard string) (*Server, error) {
	state, err := filepath.Abs(state)
	if err != nil {
		return nil, rig("state directory: %w", err)
	}
	if err := checkMountPoint(resolved(mount)); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, rig("make state directory: %w", err)
	}
	s := &Server{mount: resolved(mount), state: state, fs: newFilesystem(), order: newOrder(), done: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	listener, err := s.listen()
	if err != nil {
		removeState(state)
		return nil, err
	}
	if guard != "" {
		if s.guard, err = startGuard(guard, s.mount, state); err != nil {
			listener.Close()
			removeState(state)
			return nil, err
		}
	}
	if s.fuse, err = attach(s.fs, s.mount, state); err != nil {
		listener.Close()
		s.release()
		return nil, err
	}
	go func() {
		s.fuse.Serve()
		close(s.done)
	}()
	s.control = &http.Server{Handler: s.handler(), ReadHeaderTimeout: time.Minute}
	go s.control.Serve(listener)
	if err := s.fuse.WaitMount(); err != nil {
		return nil, errors.Join(rig("mount at %s: %w", mount, err), s.Close())
	}
	return s, nil
}

func (s *Server) listen() (net.Listener, error) {
	address, dir, err := socketAddress(s.state)
	if err != nil {
		return nil, rig("state directory: %w", err)
	}
	defer dir.Close()
	if c, err := net.Dial("unix", address); err == nil {
		c.Close()
		return nil, usage("state directory %s is in use by another powercut server: take another one", s.state)
	}
	os.Remove(filepath.Join(s.state, socket))
	l, err := net.Listen("unix", address)
	if err != nil {
		return nil, rig("listen in %s: %w", s.state, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // its address ends with the descriptor; removeState knows the name
	return l, nil
}

// Done is closed when the file system is no longer mounted, because somebody unmounted it or Close was called.
func (s *Server) Done() <-chan struct{} { return s.done }

// Close unmounts, lazily if something is in use, and removes all that the server made. Who still has an image open gets EIO.
// A second call does nothing.
func (s *Server) Close() error {
	s.admin.Lock()
	defer s.admin.Unlock()
	if s.ctx.Err() != nil {
		return nil
	}
	s.stop()
	s.background.Wait()
	s.order.Lock()
	for _, d := range s.disks {
		d.cut()
	}
	s.order.Unlock()
	err := s.unmount()
	_, failed := s.endLog()
	s.control.Close()
	s.release()
	return errors.Join(err, failed)
}

func (s *Server) unmount() error {
	select {
	case <-s.done:
		return nil
	default:
	}
	if s.fuse.Unmount() == nil {
		<-s.done
		return nil
	}
	if err := detach(s.mount); err != nil {
		return rig("unmount %s: %w: umount -l %s", s.mount, err, s.mount)
	}
	return nil
}

// release gives back everything but the mount.
func (s *Server) release() {
	s.order.Lock()
	for _, d := range s.disks {
		d.closeLayers()
	}
	s.order.Unlock()
	removeState(s.state)
	if s.guard != nil {
		s.guard.Close()
	}
}

// ImageSpec describes an image to make.
type ImageSpec struct {
	Name      string   `json:"name"`       // in the mount point: no slash; "disk.img" becomes "disk-2.img" after a restore
	SizeBytes int64    `json:"size_bytes"` // a multiple of the sector; 0 is the size of From
	From      string   `json:"from,omitempty"`
	Settings  Settings `json:"settings"`
}

// create makes an image and returns its path.
func (s *Server) create(spec ImageSpec) (string, error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	if s.ctx.Err() != nil {
		return "", usage("the server at %s is closed", s.mount)
	}
	if s.class != "" {
		return "", usage("make image %s: the power is cut: restore first", spec.Name)
	}
	if err := s.checkName(spec.Name); err != nil {
		return "", err
	}
	from, length, err := openFrom(spec)
	if err != nil {
		return "", err
	}
	if from.File != nil {
		defer from.Close()
	}
	if spec.SizeBytes == 0 {
		spec.SizeBytes = length
	}
	if err := s.checkRoom(spec); err != nil {
		return "", err
	}
	d, err := newDisk(s.order, s.state, spec.Name, spec.SizeBytes, spec.Settings)
	if err != nil {
		return "", err
	}
	if from.File != nil {
		s.order.Lock() // for its budget
		err := d.load(&from, length)
		s.order.Unlock()
		if err != nil {
			d.closeLayers()
			return "", rig("copy %s into image %s: %w", spec.From, spec.Name, err)
		}
	}
	s.disks = append(s.disks, d)
	var ctx context.Context
	ctx, d.stop = context.WithCancel(s.ctx)
	s.background.Go(func() { d.background(ctx) })
	s.fs.show(generation{d, 1}, d.name)
	return filepath.Join(s.mount, d.name), nil
}

func (s *Server) checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00\n") || len(name) > maxName-10 {
		return usage("image name %q: it is one file name", name)
	}
	s.fs.mu.RLock()
	defer s.fs.mu.RUnlock()
	if _, taken := s.fs.names[name]; taken {
		return usage("there is an image %s at %s already", name, s.mount)
	}
	return nil
}

func openFrom(spec ImageSpec) (layer, int64, error) {
	if spec.From == "" {
		return layer{}, 0, nil
	}
	f, err := os.Open(spec.From)
	if err != nil {
		return layer{}, 0, usage("image %s: %w", spec.Name, err)
	}
	length, err := f.Seek(0, io.SeekEnd)
	if err == nil && spec.SizeBytes != 0 && length > spec.SizeBytes {
		err = fmt.Errorf("%s has %d bytes, the image %d: make it larger", spec.From, length, spec.SizeBytes)
	}
	if err != nil {
		f.Close()
		return layer{}, 0, usage("image %s: %w", spec.Name, err)
	}
	// A bitmap of pages none of which is mapped: it is read by pread(2).
	return layer{File: f, fd: int(f.Fd()), mapped: make([]uint64, (length>>pageShift)/64+1)}, length, nil
}

// checkRoom refuses an image that could fill the file system of its layers: a full one would end clients' writes in the
// middle of an experiment. Newest content and medium may each grow to the image's size, the staged pages to the drive's cache.
func (s *Server) checkRoom(spec ImageSpec) error {
	var st unix.Statfs_t
	if err := unix.Statfs(s.state, &st); err != nil {
		return rig("state directory: %w", err)
	}
	free := int64(st.Bavail) * st.Bsize
	need := 2 * spec.SizeBytes
	for _, d := range s.disks {
		need += 2*d.size - d.allocated()
	}
	if need > free || spec.SizeBytes > maxImage {
		return usage("image %s of %s is too large for %s: with the others its layers may take %s there, %s are free; "+
			"make it smaller, or let the layers lie elsewhere",
			spec.Name, mib(spec.SizeBytes), s.state, mib(need), mib(free))
	}
	return nil
}

func mib(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }

// remove takes an image away; name is that of any of its generations that is shown.
func (s *Server) remove(name string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	d, err := s.disk(name)
	if err != nil {
		return err
	}
	s.fs.hide(d)
	s.order.Lock()
	defer s.order.Unlock()
	if s.order.log != nil && d.number != unlogged {
		s.order.fault = usage("the log is not whole: image %s was removed meanwhile", d.name)
	}
	d.number = unlogged
	d.stop()
	d.cut()
	d.host = newDirty(0)
	d.drive = newDirty(0)
	d.closeLayers()
	s.disks = slices.DeleteFunc(s.disks, func(x *Disk) bool { return x == d })
	return nil
}

func (s *Server) disk(name string) (*Disk, error) {
	s.fs.mu.RLock()
	defer s.fs.mu.RUnlock()
	if node, ok := s.fs.names[name]; ok {
		return s.fs.nodes[node].disk, nil
	}
	return nil, usage("there is no image %s at %s", name, s.mount)
}

// startLog begins a log of images in this order; without names of all.
func (s *Server) startLog(file string, names []string) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	if s.logFile != nil {
		return usage("start log %s: there is one already: %s", file, s.logFile.Name())
	}
	if s.class != "" {
		return usage("start log %s: the power is cut: restore first", file)
	}
	disks := slices.Clone(s.disks)
	if len(names) > 0 {
		disks = disks[:0]
	}
	for _, n := range names {
		d, err := s.disk(n)
		if err != nil {
			return err
		}
		if slices.Contains(disks, d) {
			return usage("start log %s: image %s is named twice", file, n)
		}
		disks = append(disks, d)
	}
	f, err := os.Create(file)
	if err != nil {
		return usage("start log: %w", err)
	}
	s.order.Lock()
	defer s.order.Unlock()
	for _, d := range disks {
		if _, err := d.sync(); err != nil {
			f.Close()
			return rig("start log %s: image %s: %w", file, d.name, err)
		}
	}
	if err := s.order.startLog(f, disks); err != nil {
		f.Close()
		return rig("start log %s: %w", file, err)
	}
	s.logFile = f
	return nil
}

// LogInfo describes a log that has ended.
type LogInfo struct {
	File   string `json:"file"`
	Events int64  `json:"events"`
	Bytes  int64  `json:"bytes"`
}

// stopLog ends the log. An error means that the log is not whole.
func (s *Server) stopLog() (LogInfo, error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	if s.logFile == nil {
		return LogInfo{}, usage("stop log: there is none at %s", s.mount)
	}
	return s.endLog()
}

func (s *Server) endLog() (LogInfo, error) {
	if s.logFile == nil {
		return LogInfo{}, nil
	}
	f := s.logFile
	s.logFile = nil
	info := LogInfo{File: f.Name()}
	s.order.Lock()
	events, err := s.order.stopLog(s.disks)
	s.order.Unlock()
	info.Events = events
	if at, failed := f.Seek(0, io.SeekEnd); failed == nil {
		info.Bytes = at
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return info, rig("log %s: %w", info.File, err)
	}
	return info, nil
}

// cut crashes all images at once; see Client.Cut.
func (s *Server) cut(class string) (point int64, err error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	if class != cell.HostCrash && class != cell.PowerLoss {
		return 0, usage("cut %q: it is %s or %s", class, cell.HostCrash, cell.PowerLoss)
	}
	if s.class != "" {
		return 0, usage("there was a cut already (%s): restore first", s.class)
	}
	if len(s.disks) == 0 {
		return 0, usage("cut: there is no image at %s", s.mount)
	}
	s.order.Lock()
	defer s.order.Unlock()
	for i, d := range s.disks {
		d.cut()
		if d.seedID = d.number; d.number == unlogged {
			d.seedID = i
		}
	}
	s.class = class
	if s.order.log == nil {
		return 0, nil
	}
	s.order.append(nil, oplog.Event{Kind: oplog.Cut}, nil)
	if err := errors.Join(s.order.fault, s.order.log.Flush()); err != nil {
		return 0, rig("log %s: %w", s.logFile.Name(), err)
	}
	return s.order.log.Events(), nil
}

// restore serves what survived. The log, if there is one, is over: it is of one generation only.
func (s *Server) restore(seed uint64) (map[string]string, error) {
	s.admin.Lock()
	defer s.admin.Unlock()
	if s.class == "" {
		return nil, usage("restore: there was no cut at %s", s.mount)
	}
	s.order.Lock()
	defer s.order.Unlock()
	for _, d := range s.disks { // the log stays open for stopLog, but no image is in it any more
		d.number = unlogged
	}
	names := map[string]string{}
	for _, d := range s.disks {
		old := d.shownAs(d.newest)
		if err := d.restore(s.class, seed); err != nil {
			return nil, err
		}
		names[old] = d.shownAs(d.newest)
		s.fs.show(generation{d, d.newest}, d.name, names[old])
	}
	s.class = ""
	return names, nil
}

// shownAs returns the name of a generation: disk.img, disk-2.img, disk-3.img.
func (d *Disk) shownAs(generation int64) string {
	if generation == 1 {
		return d.name
	}
	ext := filepath.Ext(d.name)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(d.name, ext), generation, ext)
}

// Status is what a server serves and what was asked of it.
type Status struct {
	Mount  string        `json:"mount"`
	State  string        `json:"state"`         // the directory of the layers
	Cut    string        `json:"cut,omitempty"` // class of a cut that awaits its restore
	Log    *LogInfo      `json:"log,omitempty"` // so far
	Images []ImageStatus `json:"images"`
}

// ImageStatus is one image of a Status.
type ImageStatus struct {
	Name            string   `json:"name"` // of the newest generation
	Path            string   `json:"path"`
	SizeBytes       int64    `json:"size_bytes"`
	Generation      int64    `json:"generation"`        // from 1
	DirtyHostBytes  int64    `json:"dirty_host_bytes"`  // in the simulated page cache only
	DirtyDriveBytes int64    `json:"dirty_drive_bytes"` // in the drive's cache, not on the medium
	Counters        Counters `json:"counters"`
	Settings        Settings `json:"settings"`
}

func (s *Server) status() Status {
	s.admin.Lock()
	defer s.admin.Unlock()
	s.order.Lock()
	defer s.order.Unlock()
	st := Status{Mount: s.mount, State: s.state, Cut: s.class, Images: []ImageStatus{}}
	if s.logFile != nil && s.order.log != nil {
		_ = s.order.log.Flush() // an error comes again at its end
		st.Log = &LogInfo{File: s.logFile.Name(), Events: s.order.log.Events(), Bytes: fileSize(s.logFile)}
	}
	for _, d := range s.disks {
		name := d.shownAs(d.newest)
		counters := d.counters
		counters.Reads = d.reads.Load()
		counters.BytesRead = d.readSum.Load()
		st.Images = append(st.Images, ImageStatus{
			Name: name, Path: filepath.Join(s.mount, name), SizeBytes: d.size, Generation: d.newest,
			DirtyHostBytes: d.host.bytes(), DirtyDriveBytes: d.drive.bytes(), Counters: counters, Settings: d.settings,
		})
	}
	return st
}

func fileSize(f fs.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// allocated returns what the layers take on their file system, in bytes.
func (d *Disk) allocated() int64 { return blocks(&d.current) + blocks(&d.medium) }

// blocks returns what the newest content takes, in units of 512 bytes as stat(2) has them.
func (d *Disk) blocks() uint64 { return uint64(blocks(&d.current)) / 512 }

func blocks(l *layer) int64 {
	var st unix.Stat_t
	if unix.Fstat(l.fd, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
