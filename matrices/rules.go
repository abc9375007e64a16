package matrices

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"platter/cell"
)

// effect is what a rule does with what it matches.
type effect int

const (
	refuse  effect = iota // the matrix is refused, with the place of the setting
	exclude               // the cell is kept, not measured, and says why
)

// rule is one thing that a matrix may not say, or one combination that makes a cell impossible or meaningless.
//
// A rule without a cell function is about settings: those whose namespaced name matches one of the patterns
// (path.Match), with any value or with those that value picks. It always refuses.
// A rule with a cell function is about combinations; the first setting is the one to point at when it refuses.
type rule struct {
	settings []string
	value    func(text string) bool
	cell     func(cell.Cell) bool
	effect   effect
	reason   string // completes "fio.x is not allowed:", "fio.x cannot be y:" or stands alone at a cell
	hint     string
	source   string // where the rule comes from
}

func (r rule) matches(full string) bool {
	return slices.ContainsFunc(r.settings, func(pattern string) bool {
		ok, _ := path.Match(pattern, full)
		return ok
	})
}

func (r rule) refusesName(full string) bool {
	return r.cell == nil && r.value == nil && r.matches(full)
}

func (r rule) refusesValue(full string, v cell.Value) bool {
	return r.cell == nil && r.value != nil && r.matches(full) && r.value(v.String())
}

// rules is the table of everything that is not measured, and why. Options are fio's, for the rules on those that only
// some engines have.
func rules(options []fioOption) []rule {
	return slices.Concat(diskRules(), guestRules(), storageRules(), fioNameRules(), fioValueRules(), fioCellRules(), fileRules(),
		engineRules(options), measuringGuestRules())
}

// measuringGuestRules are what platter's own guest cannot do. They come last: a reason that holds in every guest says more.
func measuringGuestRules() []rule {
	return []rule{{
		effect: exclude,
		cell:   func(c cell.Cell) bool { return c.Settings.Text("disk.bus") == "sata" },
		reason: "the measuring guest's kernel (Debian's cloud kernel) has no driver for SATA (AHCI)",
		source: "config of linux-image-cloud-amd64 6.1: CONFIG_SATA_AHCI is not set",
	}}
}

// diskRules come from libvirt's checks of a domain (tried with libvirt 9.0.0 and QEMU 7.2) and its documentation.
func diskRules() []rule {
	all := []rule{
		{
			settings: []string{"disk.cache"}, value: is("default"),
			reason: "a cell must say what it is, and the default is the hypervisor's choice",
			hint:   "write the mode itself; QEMU's default is writeback",
			source: "libvirt, formatdomain, driver cache",
		}, {
			settings: []string{"disk.name", "disk.type"},
			reason:   "platter sets it from storage.format",
			hint:     "set storage.format",
			source:   "libvirt, formatdomain, driver name and type",
		}, {
			settings: []string{"disk.discard_no_unref"},
			reason:   "only qcow2 has it, from libvirt 9.5 on; older ones drop it without a word",
			hint:     "leave it out",
			source:   "libvirt, formatdomain, driver discard_no_unref; tried with libvirt 9.0",
		}, {
			settings: []string{"disk.metadata_cache"},
			reason:   "it is an element of qcow2 disks and no attribute",
			hint:     "leave it out",
			source:   "libvirt, formatdomain, driver metadata_cache",
		}, {
			settings: []string{"disk.queue_size"}, value: notPowerOfTwo,
			reason: "the size of a queue is a power of 2",
			hint:   "write 4, 8, 16, … 1024",
			source: `QEMU, virtio-blk: "must be a power of 2 (max 1024)"`,
		}, {
			cell: func(c cell.Cell) bool {
				return c.Settings.Text("disk.io") == "native" && c.Settings.Text("disk.cache") != "none" &&
					c.Settings.Text("disk.cache") != "directsync"
			},
			effect: exclude,
			reason: "io=native needs either no disk cache or directsync cache mode",
			source: "libvirt 9.0, check of the disk",
		}, {
			cell: func(c cell.Cell) bool {
				return c.Settings.Text("disk.detect_zeroes") == "unmap" && c.Settings.Text("disk.discard") != "unmap"
			},
			effect: exclude,
			reason: "detect_zeroes=unmap becomes on unless discard=unmap stands beside it",
			source: "libvirt, formatdomain, driver detect_zeroes; tried with libvirt 9.0",
		}, {
			cell:   func(c cell.Cell) bool { return c.Settings.Text("disk.copy_on_read") == "on" },
			effect: exclude,
			reason: "copy_on_read=on copies from a backing file, and the scratch disk has none",
			source: "libvirt, formatdomain, driver copy_on_read",
		}, {
			cell:   func(c cell.Cell) bool { return c.Settings.Text("disk.dpofua") != "" && c.Bus() != "scsi" },
			effect: exclude,
			reason: "only a SCSI disk has dpofua",
			source: "libvirt 12.9, formatdomain, target dpofua",
		},
	}
	for _, name := range virtioOnly() {
		all = append(all, rule{
			cell: func(c cell.Cell) bool {
				return c.Settings.Text("disk."+name) != "" && c.Settings.Text("disk.bus") != "" && c.Settings.Text("disk.bus") != "virtio"
			},
			effect: exclude,
			reason: "only a virtio disk has " + name,
			source: "libvirt 9.0, check of the disk",
		})
	}
	return all
}

// guestRules are about the knobs of the guest. Some have no effect and are measured all the same, to show that: write_cache="write
// through" or cache_type="write through" on a disk that is write through already, and any of them under cache=unsafe.
func guestRules() []rule {
	all := []rule{
		{
			cell:   func(c cell.Cell) bool { return c.Barrier() == "off" && c.Filesystem() == "none" },
			effect: exclude,
			reason: "barrier=off is a mount option, and the raw device is not mounted",
			source: "Linux, Documentation/admin-guide/ext4.rst, barrier",
		}, {
			cell:   func(c cell.Cell) bool { return c.Barrier() == "off" && c.Filesystem() == "xfs" },
			effect: exclude,
			reason: "xfs has no option to turn barriers off since Linux 4.19",
			source: "Linux, Documentation/admin-guide/xfs.rst, removed mount options",
		}, {
			cell: func(c cell.Cell) bool {
				return c.CacheType() != cell.AsDevice && (c.Settings.Text("disk.bus") == "sata" || c.Settings.Text("disk.bus") == "nvme")
			},
			effect: exclude,
			reason: "cache_type is changed on virtio and SCSI disks, and this one is neither",
			source: "Linux, drivers/block/virtio_blk.c and drivers/scsi/sd.c, cache_type",
		},
	}
	for _, name := range cell.Filesystems() {
		smallest, source := cell.SmallestDisk(name)
		if smallest == 0 {
			continue
		}
		all = append(all, rule{
			cell:   func(c cell.Cell) bool { return c.Filesystem() == name && c.SizeBytes() < smallest },
			effect: exclude,
			reason: fmt.Sprintf("mkfs.%s makes no file system below %d MiB", name, (smallest+1<<20-1)>>20),
			source: source,
		})
	}
	return all
}

// storageRules are about what qemu-img refuses (tried with QEMU 7.2).
func storageRules() []rule {
	return []rule{
		{
			settings: []string{"storage.type", "storage.size"},
			reason:   "it is one for the whole matrix",
			hint:     "set it in the section storage",
			source:   "platter",
		}, {
			settings: []string{"storage.cluster_size"}, value: noCluster,
			reason: "qcow2 has clusters of a power of 2 from 512 bytes to 2 MiB",
			hint:   "write 512, 1KiB, … 2MiB; qemu-img's default is 64KiB",
			source: `qemu-img: "Cluster size must be a power of two between 512 and 2048k"`,
		}, {
			cell:   func(c cell.Cell) bool { return c.ClusterSize() > 0 && c.Format() == "raw" },
			effect: exclude,
			reason: "a raw image has no clusters",
			source: "qemu-img create -o help",
		}, {
			cell:   func(c cell.Cell) bool { return c.Preallocation() == "metadata" && c.Format() == "raw" },
			effect: exclude,
			reason: "a raw image has no metadata to allocate beforehand",
			source: `qemu-img: "Unsupported preallocation mode: metadata"`,
		}, {
			cell: func(c cell.Cell) bool {
				return c.ClusterSize() > 0 && c.SizeBytes() > maxQcow2Bytes(c.ClusterSize())
			},
			effect: exclude,
			reason: "qcow2 cannot be this large with such small clusters",
			source: `qemu-img: "The image size is too large for file format 'qcow2' (try using a larger cluster size)"`,
		},
	}
}

// fioNameRules refuse options with any value: what reaches beyond the scratch disk, what platter sets itself, and what
// would make the figures mean something else. They were found by reading through fio's own list of options.
func fioNameRules() []rule {
	return []rule{
		{
			settings: fio("exec_prerun", "exec_postrun"),
			reason:   "it runs a command in a shell",
			hint:     "leave it out",
			source:   "fio HOWTO, exec_prerun",
		}, {
			settings: fio("name", "filename", "filename_format", "unique_filename", "directory"),
			reason:   "platter points fio at the scratch disk and at nothing else",
			hint:     "leave it out",
			source:   "fio HOWTO, target file; as root fio creates what is missing",
		}, {
			settings: fio("include", "opendir", "read_iolog", "read_iolog_chunked", "replay_*", "merge_blktrace_*"),
			reason:   "it takes the work from another file",
			hint:     "write the workload itself",
			source:   "fio HOWTO, I/O replay, and the include line of job files",
		}, {
			settings: fio("write_*_log", "write_iolog", "log_*", "per_job_logs"),
			reason:   "it is about log files, and platter keeps fio's JSON alone",
			hint:     "leave it out; the report has the histograms",
			source:   "fio HOWTO, measurements and reporting",
		}, {
			settings: fio("nrfiles", "filesize", "openfiles", "file_service_type", "lockfile", "create_*", "allow_file_create",
				"overwrite", "unlink", "unlink_each_loop", "fill_device", "filetype"),
			reason: "it is about files, and the workload runs on one whole disk or in one file of it",
			hint:   "leave it out",
			source: "fio HOWTO, target file",
		}, {
			settings: fio("allow_mounted_write"),
			reason:   "it lets fio write to a disk that is mounted",
			hint:     "leave it out",
			source:   "fio HOWTO, allow_mounted_write",
		}, {
			settings: fio("verify", "verify_*", "do_verify", "experimental_verify", "trim_percentage", "trim_verify_zero", "trim_backlog*"),
			reason:   "verifying mixes reads into the measurement, and it may write state and dump files",
			hint:     "leave it out; what a disk loses is not judged by fio here",
			source:   "fio HOWTO, verification",
		}, {
			settings: fio("cgroup", "cgroup_*", "uid", "gid"),
			reason:   "it changes the guest around the workload",
			hint:     "leave it out",
			source:   "fio HOWTO, threads, processes and job synchronization",
		}, {
			settings: fio("ioscheduler"),
			reason:   "it changes the guest's disk, and the next cell would inherit that",
			hint:     "leave it out",
			source:   "fio HOWTO, ioscheduler",
		}, {
			settings: fio("profile"),
			reason:   "it replaces the workload by one of fio's own",
			hint:     "write the workload itself",
			source:   "fio HOWTO, profile",
		}, {
			settings: fio("wait_for", "stonewall", "new_group", "startdelay", "exitall", "exit_what", "exitall_on_error", "flow", "flow_id",
				"flow_sleep"),
			reason: "it orders several jobs, and a cell is one",
			hint:   "leave it out; numjobs runs copies of the job",
			source: "fio HOWTO, threads, processes and job synchronization",
		}, {
			settings: fio("stats", "gtod_reduce", "disable_*"),
			reason:   "it takes away figures that the report needs",
			hint:     "leave it out",
			source:   "fio HOWTO, measurements and reporting",
		}, {
			settings: fio("group_reporting", "clat_percentiles", "lat_percentiles", "slat_percentiles", "percentile_list",
				"significant_figures", "unified_rw_reporting", "unit_base", "disk_util", "block_error_percentiles", "job_start_clock_id"),
			reason: "platter decides how fio reports",
			hint:   "leave it out",
			source: "fio HOWTO, measurements and reporting",
		}, {
			settings: fio("kb_base"),
			reason:   "it changes what 4k means",
			hint:     "leave it out",
			source:   "fio HOWTO, kb_base",
		}, {
			settings: fio("continue_on_error", "ignore_error"),
			reason:   "an I/O error must end the trial and not hide in it",
			hint:     "leave it out",
			source:   "fio HOWTO, error handling",
		}, {
			settings: fio("write_barrier"),
			reason:   "it does nothing on ordinary engines",
			hint:     "use fio.fsync or fio.fdatasync",
			source:   "fio HOWTO, write_barrier; tried with fio 3.33",
		}, {
			settings: fio("atomic"),
			reason:   "it needs O_ATOMIC, which Linux never took in",
			hint:     "leave it out",
			source:   "fio HOWTO, atomic",
		}, {
			settings: fio("buffered"),
			reason:   "it says the opposite of direct",
			hint:     "write direct: 0 or direct: 1",
			source:   "fio HOWTO, buffered",
		}, {
			settings: fio("zonecapacity", "read_beyond_wp", "max_open_zones", "job_max_open_zones", "ignore_zone_limits", "zone_reset_*",
				"recover_zbd_write_error"),
			reason: "it is about zoned disks, and the scratch disk is none",
			hint:   "leave it out",
			source: "fio HOWTO, zonemode",
		}, {
			settings: fio("fdp", "dataplacement", "plid_select", "plids", "dp_scheme"),
			reason:   "it is about where NVMe drives place data, and the scratch disk does not choose",
			hint:     "leave it out",
			source:   "fio HOWTO, dataplacement",
		},
	}
}

// fioValueRules refuse values that fio itself would take.
func fioValueRules() []rule {
	return []rule{
		{
			settings: fio("ioengine"), value: func(text string) bool { return !slices.Contains(engines(), text) },
			reason: "platter measures with engines that read and write the scratch disk, and with no other",
			hint:   "its values are " + strings.Join(engines(), ", "),
			source: "fio HOWTO, I/O engine",
		}, {
			settings: fio("mem"), value: func(text string) bool { return strings.Contains(text, ":") },
			reason: "it keeps its buffers in the file behind the colon",
			hint:   "leave the colon and the file out",
			source: "fio HOWTO, mem",
		}, {
			settings: fio("zonemode"), value: is("zbd"),
			reason: "the scratch disk is not a zoned one",
			hint:   "write none or strided",
			source: "fio HOWTO, zonemode",
		}, {
			settings: fio("numjobs"), value: isZero,
			reason: "no job would run",
			hint:   "write 1 or more",
			source: "fio HOWTO, numjobs; tried with fio 3.33",
		}, {
			settings: fio("size"), value: isZero,
			reason: "to fio 0 is the whole disk",
			hint:   "leave size out for the whole disk",
			source: "fio HOWTO, size",
		},
	}
}

// fioCellRules are about the whole workload of a cell.
func fioCellRules() []rule {
	return []rule{
		{
			settings: fio("size"), effect: refuse,
			cell:   func(c cell.Cell) bool { return size(c, "size") > c.SizeBytes() },
			reason: "the workload is larger than the disk of storage.size",
			hint:   "make fio.size smaller or storage.size larger",
			source: "fio stops at the end of a disk",
		}, {
			settings: fio("offset"), effect: refuse,
			cell:   func(c cell.Cell) bool { return c.Reach() > float64(c.SizeBytes()) },
			reason: "offset and size reach beyond the disk of storage.size",
			hint:   "make offset, offset_increment or size smaller, or storage.size larger",
			source: "fio stops at the end of a disk",
		}, {
			settings: fio("time_based"), effect: refuse,
			cell:   func(c cell.Cell) bool { return c.Settings.Text("fio.time_based") == "1" && c.Runtime() == 0 },
			reason: "time_based needs a runtime",
			hint:   "add runtime, for example runtime: 10",
			source: `fio 3.33: "time_based requires a runtime/timeout setting"`,
		}, {
			effect: refuse,
			cell:   func(c cell.Cell) bool { return c.Runtime() == 0 && size(c, "size") == 0 && size(c, "io_size") == 0 },
			reason: "the workload has no end: neither runtime nor size nor io_size",
			hint:   "add runtime, for example runtime: 10",
			source: "platter",
		}, {
			effect: exclude,
			cell: func(c cell.Cell) bool {
				return strings.Contains(c.RW(), "trim") && c.Settings.Text("disk.discard") != "unmap"
			},
			reason: "trims do nothing unless disk.discard=unmap",
			source: "libvirt, formatdomain, driver discard",
		}, {
			effect: exclude,
			cell: func(c cell.Cell) bool {
				return strings.HasSuffix(c.RW(), "read") && (size(c, "fsync") > 0 || size(c, "fdatasync") > 0)
			},
			reason: "fio syncs only after writes, and this workload has none",
			source: "fio HOWTO, fsync",
		}, {
			effect: exclude,
			cell: func(c cell.Cell) bool {
				return slices.ContainsFunc(nvmeCommandOptions(), func(name string) bool {
					text := c.Settings.Text("fio." + name)
					return text != "" && text != "0"
				})
			},
			reason: "fio 3.39 takes " + strings.Join(nvmeCommandOptions(), ", ") + " into the commands that its engine io_uring_cmd sends to an " +
				"NVMe drive itself, and io_uring does nothing with them; sync=dsync makes each write wait until it is durable",
			source: "fio HOWTO, writefua; tried with fio 3.39 and 3.41: 100 writes of io_uring with writefua=1 make no flush, with sync=dsync 100",
		}, {
			effect: exclude,
			cell: func(c cell.Cell) bool {
				return size(c, "iodepth") > 1 && slices.Contains(cell.SynchronousEngines(), c.Engine())
			},
			reason: "fio caps iodepth at 1 with a synchronous engine",
			source: `fio 3.33: "queue depth will be capped at 1"`,
		}, {
			effect: exclude,
			cell:   func(c cell.Cell) bool { return c.Settings.Text("fio.direct") == "1" && unaligned(c) },
			reason: "direct=1 needs block sizes that are multiples of 512",
			source: "open(2), O_DIRECT",
		},
	}
}

// fileRules are about workloads on the one file of a file system, or on the raw device where it would need one.
func fileRules() []rule {
	onFile := func(c cell.Cell) bool { return c.Filesystem() != "none" }
	return []rule{
		{
			settings: fio("size"), effect: refuse,
			cell:   func(c cell.Cell) bool { return onFile(c) && size(c, "size") == 0 },
			reason: "on a file system the workload needs a size, which is that of its file",
			hint:   "add size, for example size: 128m",
			source: "platter lays the file out before fio runs",
		}, {
			settings: fio("size"), effect: refuse,
			cell: func(c cell.Cell) bool {
				return onFile(c) && !cell.Relocates(c.Filesystem()) && extent(c) > float64(c.Room())
			},
			reason: "the workload leaves no room for the file system: 10 % of storage.size and 64 MiB",
			hint:   "make fio.size (with file_append what is appended counts, too) smaller or storage.size larger",
			source: "ext4's reserved blocks, inodes and journal; xfs's log of 64 MiB",
		}, {
			settings: fio("size"), effect: refuse,
			cell:   func(c cell.Cell) bool { return c.Filesystem() == "btrfs" && extent(c) > float64(c.Room()) },
			reason: "the workload leaves no room for btrfs and for copies of what is overwritten: 55 % of storage.size and 64 MiB",
			hint:   "make fio.size (with file_append what is appended counts, too) smaller or storage.size larger",
			source: "btrfs(5): an extent is freed when no part of it is in use; mkfs.btrfs(8), metadata are kept twice",
		}, {
			settings: fio("size"), effect: refuse,
			cell:   func(c cell.Cell) bool { return c.Filesystem() == "f2fs" && extent(c) > float64(c.Room()) },
			reason: "the workload leaves no room for f2fs and its cleaner: 20 % of storage.size and 64 MiB",
			hint:   "make fio.size (with file_append what is appended counts, too) smaller or storage.size larger",
			source: "f2fs-tools 1.15, mkfs.f2fs: overprovision of 20 % on a disk of 128 MiB, 10 % on one of 512 MiB",
		}, {
			effect: exclude,
			cell:   func(c cell.Cell) bool { return !onFile(c) && c.Appends() },
			reason: "file_append=1 appends to a file, and the raw device is none",
			source: "fio HOWTO, file_append",
		}, {
			effect: exclude,
			cell: func(c cell.Cell) bool {
				return !onFile(c) && c.Settings.Text("fio.fallocate") != "" && c.Settings.Text("fio.fallocate") != "none"
			},
			reason: "fallocate is about a file, and the raw device is none",
			source: "fio HOWTO, fallocate",
		}, {
			effect: exclude,
			cell: func(c cell.Cell) bool {
				return c.Appends() && !slices.Contains([]string{"write", "randwrite"}, c.RW())
			},
			reason: "file_append=1 has fio work behind the end of the file, where there is nothing to read",
			source: "fio HOWTO, file_append",
		}, {
			effect: exclude,
			cell:   func(c cell.Cell) bool { return c.Appends() && c.Engine() == "mmap" },
			reason: "the engine mmap cannot append",
			source: `fio 3.33: "can't append/extent with IO engine mmap"`,
		}, {
			effect: exclude,
			cell:   func(c cell.Cell) bool { return onFile(c) && strings.Contains(c.RW(), "trim") },
			reason: "fio trims block devices alone, and this workload runs on a file",
			source: "fio 3.33: trims of a file end in ENOTTY",
		},
	}
}

// engineRules exclude cells that set an option which their engine does not have.
func engineRules(options []fioOption) []rule {
	var all []rule
	for _, o := range options {
		if o.engines == nil {
			continue
		}
		all = append(all, rule{
			effect: exclude,
			cell: func(c cell.Cell) bool {
				return c.Settings.Text("fio."+o.name) != "" && !slices.Contains(o.engines, c.Engine())
			},
			reason: "only the engine " + strings.Join(o.engines, " or ") + " has " + o.name,
			source: "fio --enghelp",
		})
	}
	return all
}

// nvmeCommandOptions are options of io_uring that mean something to io_uring_cmd alone.
func nvmeCommandOptions() []string { return []string{"readfua", "writefua", "write_mode", "deac"} }

// engines are those that do what the job says to the disk that it names, and nothing else.
func engines() []string { return append(cell.SynchronousEngines(), "libaio", "io_uring", "posixaio") }

// fio adds the namespace to the names of options.
func fio(names ...string) []string {
	full := make([]string, len(names))
	for i, name := range names {
		full[i] = "fio." + name
	}
	return full
}

func is(word string) func(string) bool { return func(text string) bool { return text == word } }

func isZero(text string) bool {
	n, err := cell.ParseFioSize(text)
	return err == nil && n == 0
}

func noCluster(text string) bool {
	n, err := cell.ParseSize(text)
	return err == nil && (n < minCluster || n > maxCluster || n&(n-1) != 0)
}

func notPowerOfTwo(text string) bool {
	n, ok := number(text).V.(int64)
	return ok && n > 0 && n&(n-1) != 0
}
