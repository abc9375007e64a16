package powercut

import (
	"os"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"platter/powercut/oplog"
)

// generation is a disk as it is until it is cut. Descriptors keep it.
type generation struct {
	disk   *Disk
	number int64
}

// node is a file of the file system: a generation, and whose it is.
type node struct {
	generation
	owner   fuse.Owner
	mode    uint32 // permissions
	lookups uint64 // how often the kernel was given it and has not forgotten it
	names   int    // how many lead to it
}

// filesystem is a flat directory of images. It works on FUSE's own requests: only there is O_DSYNC of a write seen, which sends no
// fsync when the kernel does not cache the file.
//
// A new image belongs to who mounted it, and to nobody else: libvirt gives it to QEMU's user, as it does with any file, and takes it
// back. The kernel checks (mount option default_permissions), so that SetAttr need not.
//
// An open's handle is its flags, so that a discard knows whether it came O_DIRECT.
type filesystem struct {
	fuse.RawFileSystem

	mu    sync.RWMutex
	names map[string]uint64 // to nodes
	nodes map[uint64]*node  // those that a name leads to, or that the kernel knows
	last  uint64            // node given out
}

func newFilesystem() *filesystem {
	return &filesystem{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		names:         map[string]uint64{}, nodes: map[uint64]*node{}, last: fuse.FUSE_ROOT_ID,
	}
}

// show serves a generation of a disk under names, for who opens them from now on. Names of the generation before it go; the file is
// whose that one was.
func (fs *filesystem) show(g generation, names ...string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := &node{generation: g, owner: fuse.Owner{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}, mode: 0o600, names: len(names)}
	for name, id := range fs.names {
		if before := fs.nodes[id]; before.disk == g.disk {
			n.owner = before.owner
			n.mode = before.mode
			fs.unlink(name)
		}
	}
	fs.last++
	fs.nodes[fs.last] = n
	for _, name := range names {
		fs.names[name] = fs.last
	}
}

// hide takes names away. Who has them open keeps them.
func (fs *filesystem) hide(d *Disk) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for name, id := range fs.names {
		if fs.nodes[id].disk == d {
			fs.unlink(name)
		}
	}
}

// unlink takes a name away. The caller holds the lock.
func (fs *filesystem) unlink(name string) {
	id := fs.names[name]
	delete(fs.names, name)
	fs.nodes[id].names--
	fs.drop(id)
}

// drop lets go of a node that nothing leads to. The caller holds the lock.
func (fs *filesystem) drop(id uint64) {
	if n := fs.nodes[id]; n.names == 0 && n.lookups == 0 {
		delete(fs.nodes, id)
	}
}

// Forget comes when the kernel lets go of a node, which is after the last descriptor of it was closed.
func (fs *filesystem) Forget(id, lookups uint64) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if n, ok := fs.nodes[id]; ok {
		n.lookups -= min(lookups, n.lookups)
		fs.drop(id)
	}
}

func (fs *filesystem) node(id uint64) (generation, bool) {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	n, ok := fs.nodes[id]
	if !ok {
		return generation{}, false
	}
	return n.generation, true
}

func (fs *filesystem) String() string { return fsType }

func (fs *filesystem) Lookup(_ <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	id, ok := fs.names[name]
	if !ok || header.NodeId != fuse.FUSE_ROOT_ID {
		return fuse.ENOENT
	}
	fs.nodes[id].lookups++
	// No time out is given: a name leads to another generation after a restore.
	out.NodeId = id
	out.Generation = 1
	return fs.attributes(&out.Attr, id)
}

// attributes fills in what stat(2) shows of a node. The caller holds the lock.
func (fs *filesystem) attributes(a *fuse.Attr, id uint64) fuse.Status {
	a.Ino = id
	if id == fuse.FUSE_ROOT_ID {
		a.Mode = syscall.S_IFDIR | 0o755
		a.Nlink = 2
		a.Owner = fuse.Owner{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
		return fuse.OK
	}
	n, ok := fs.nodes[id]
	if !ok {
		return fuse.ENOENT
	}
	a.Mode = syscall.S_IFREG | n.mode
	a.Nlink = 1
	a.Owner = n.owner
	a.Size = uint64(n.disk.size)
	a.Blksize = pageBytes
	a.Blocks = n.disk.blocks()
	return fuse.OK
}

func (fs *filesystem) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	return fs.attributes(&out.Attr, in.NodeId)
}

// SetAttr changes a file's owner and mode; the kernel has checked that the caller may. Times are taken for granted. The size of a
// disk is what it is, and the directory is who mounted it's.
func (fs *filesystem) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n, ok := fs.nodes[in.NodeId]
	if size, asked := in.GetSize(); asked && (!ok || size != uint64(n.disk.size)) {
		return fuse.EPERM
	}
	mode, chmod := in.GetMode()
	uid, chown := in.GetUID()
	gid, chgrp := in.GetGID()
	if !ok && (chmod || chown || chgrp) {
		return fuse.EPERM
	}
	if chmod {
		n.mode = mode & 0o777
	}
	if chown {
		n.owner.Uid = uid
	}
	if chgrp {
		n.owner.Gid = gid
	}
	return fs.attributes(&out.Attr, in.NodeId)
}

func (fs *filesystem) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	g, ok := fs.node(in.NodeId)
	if !ok {
		return fuse.ENOENT
	}
	if !g.disk.alive(g.number) {
		return fuse.EIO
	}
	out.Fh = uint64(in.Flags)
	out.OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_PARALLEL_DIRECT_WRITES
	return fuse.OK
}

func (fs *filesystem) Read(_ <-chan struct{}, in *fuse.ReadIn, b []byte) (fuse.ReadResult, fuse.Status) {
	g, ok := fs.node(in.NodeId)
	if !ok {
		return nil, fuse.EIO
	}
	n, errno := g.disk.read(g.number, b[:min(len(b), int(in.Size))], int64(in.Offset), in.Flags&syscall.O_DIRECT != 0)
	if errno != 0 {
		return nil, fuse.Status(errno)
	}
	return fuse.ReadResultData(b[:n]), fuse.OK
}

func (fs *filesystem) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	g, ok := fs.node(in.NodeId)
	if !ok {
		return 0, fuse.EIO
	}
	n, errno := g.disk.write(g.number, data, int64(in.Offset), openFlags(in.Flags))
	return uint32(n), fuse.Status(errno)
}

// Writev is called by the server for every write; its data are in one piece unless they came through a guest's memory.
func (fs *filesystem) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	if len(data) == 1 {
		return fs.Write(cancel, in, data[0])
	}
	return 0, fuse.ENOSYS // it joins them and calls Write
}

// openFlags returns the flags of oplog for those of open(2). The kernel adds O_DSYNC to those of a write with RWF_DSYNC.
func openFlags(flags uint32) uint16 {
	var f uint16
	if flags&syscall.O_DIRECT != 0 {
		f |= oplog.Direct
	}
	if flags&syscall.O_DSYNC != 0 { // O_SYNC has this bit too
		f |= oplog.Dsync
	}
	return f
}

func (fs *filesystem) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	g, ok := fs.node(in.NodeId)
	if !ok {
		return fuse.EIO
	}
	return fuse.Status(g.disk.flush(g.number))
}

// Flush comes at each close(2), which promises nothing.
func (fs *filesystem) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

// FsyncDir is answered for those who make sure of names: ours are not in the layers.
func (fs *filesystem) FsyncDir(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.OK }

// Fallocate with PUNCH_HOLE or ZERO_RANGE writes zeros. Plain fallocate has nothing to do: a disk has its size.
func (fs *filesystem) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	g, ok := fs.node(in.NodeId)
	if !ok {
		return fuse.EIO
	}
	const zeroes = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_ZERO_RANGE
	if in.Mode&^(zeroes|unix.FALLOC_FL_KEEP_SIZE) != 0 {
		return fuse.ENOTSUP
	}
	if in.Mode&unix.FALLOC_FL_KEEP_SIZE == 0 && in.Offset+in.Length > uint64(g.disk.size) {
		return fuse.EPERM
	}
	if in.Mode&zeroes == 0 {
		return fuse.OK
	}
	return fuse.Status(g.disk.zero(g.number, int64(in.Offset), int64(in.Length), openFlags(uint32(in.Fh))))
}

func (fs *filesystem) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	g, ok := fs.node(in.NodeId)
	if !ok {
		return fuse.EIO
	}
	if in.Whence != unix.SEEK_DATA && in.Whence != unix.SEEK_HOLE {
		return fuse.EINVAL
	}
	at, errno := g.disk.seek(g.number, int64(in.Offset), int(in.Whence))
	out.Offset = uint64(at)
	return fuse.Status(errno)
}

func (fs *filesystem) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status {
	return fuse.OK
}

func (fs *filesystem) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	for i, e := range fs.entries() {
		if uint64(i) >= in.Offset && !out.AddDirEntry(e) {
			break
		}
	}
	return fuse.OK
}

func (fs *filesystem) entries() []fuse.DirEntry {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	entries := []fuse.DirEntry{
		{Name: ".", Mode: syscall.S_IFDIR, Ino: fuse.FUSE_ROOT_ID}, {Name: "..", Mode: syscall.S_IFDIR, Ino: fuse.FUSE_ROOT_ID},
	}
	for _, name := range sortedKeys(fs.names) {
		entries = append(entries, fuse.DirEntry{Name: name, Mode: syscall.S_IFREG, Ino: fs.names[name]})
	}
	for i := range entries {
		entries[i].Off = uint64(i + 1)
	}
	return entries
}

func (fs *filesystem) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	out.Bsize = pageBytes
	out.Frsize = pageBytes
	out.NameLen = maxName
	for name, node := range fs.names {
		if d := fs.nodes[node].disk; name == d.name { // a survivor has two names
			out.Blocks += uint64(d.size) / pageBytes
			out.Files++
		}
	}
	return fuse.OK
}
