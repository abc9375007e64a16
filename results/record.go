package results

import (
	"time"

	"platter/cell"
	"platter/fiojob"
)

// Schema is the version of the files in a run directory that this version writes, and OldestSchema the oldest that it reads. From 2
// on the manifest has resolved cells; those of 1 have axis values alone and are resolved when the run is read.
const (
	Schema       = 2
	OldestSchema = 1
)

// Manifest says what a run is and on what it ran. It is written once, before the first trial.
type Manifest struct {
	Schema     int         `json:"schema"`
	Name       string      `json:"name"`
	Tool       string      `json:"tool"`        // "platter VERSION"
	Command    []string    `json:"command"`     // the command line that started the run
	Matrix     string      `json:"matrix"`      // the text of the matrix file
	MatrixFile string      `json:"matrix_file"` // its name, for messages
	Banner     string      `json:"banner,omitempty"`
	Seed       uint64      `json:"seed"`
	Trials     int         `json:"trials"` // blocks planned
	Started    time.Time   `json:"started"`
	Axes       []string    `json:"axes"` // names of the axes in the order of the matrix
	Cells      []cell.Cell `json:"cells"`
	Host       Host        `json:"host"`
	// Hypervisors are those that the cells name, each once; none where they name none. Host has the facts of the first of them.
	Hypervisors []Hypervisor `json:"hypervisors,omitempty"`
	Guest       Guest        `json:"guest"`
	Storage     Storage      `json:"storage"`
	// SafetyClasses and DriveCaches are what the matrix asks of the crash campaigns; empty without any.
	SafetyClasses []string `json:"safety_classes,omitempty"`
	DriveCaches   []string `json:"drive_caches,omitempty"`
	// Device is the settings of the simulated disk that the matrix makes for all cells, by the names of the section device.
	Device map[string]any `json:"device,omitempty"`
	// SimulatedTrials says that the trials, too, ran on the simulated disk: their figures are the simulation's.
	SimulatedTrials bool `json:"simulated_trials,omitempty"`
	// Looks is there in a run that may end early (run --until-decided).
	Looks *Looks `json:"looks,omitempty"`
}

// Looks says when a run looks at what it has, and by what it decides whether that is enough. It is fixed before the first trial:
// whoever judges the run must judge by the same.
type Looks struct {
	Policy     string   `json:"policy"`      // its name
	PolicyFile string   `json:"policy_file"` // where it was read, for messages
	PolicyText string   `json:"policy_text"`
	Alpha      float64  `json:"alpha"`  // family-wise, over all rules and looks
	Blocks     []int    `json:"blocks"` // after how many there is a look, in order; the last is where the run ends at the latest
	Rules      []string `json:"rules"`  // in words
}

// Host is what is known of the machine that ran the guests.
type Host struct {
	Name   string `json:"name"`
	Kernel string `json:"kernel"`
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	// CPUMHz is the first processor's clock when the run started, and Governor its cpufreq governor; 0 and empty where
	// the kernel does not say.
	CPUMHz      float64 `json:"cpu_mhz,omitempty"`
	Governor    string  `json:"governor,omitempty"`
	MemoryBytes int64   `json:"memory_bytes"`
	URI         string  `json:"uri"`
	Libvirt     string  `json:"libvirt"`
	QEMU        string  `json:"qemu"`
	Accel       string  `json:"accel"`        // "kvm" or "tcg"
	AccelReason string  `json:"accel_reason"` // why it is that one
}

// Guest is what is known of the measuring guest.
type Guest struct {
	ImageDigest string `json:"image_digest"`
	Kernel      string `json:"kernel"`
	Fio         string `json:"fio"`
	MemoryBytes int64  `json:"memory_bytes"`
	VCPUs       int    `json:"vcpus"`
}

// Storage is what the scratch image lay on.
type Storage struct {
	Directory  string `json:"directory"`
	FileSystem string `json:"file_system"` // the kernel's name, for example "ext4"
	Device     string `json:"device,omitempty"`
	// Layers are the devices between Device and Drives, from the top: "dm-0 (CRYPT)", "md0 (raid1)".
	Layers    []string `json:"layers,omitempty"`
	Drives    []Drive  `json:"drives,omitempty"` // that Device ends on
	Format    string   `json:"format"`
	SizeBytes int64    `json:"size_bytes"`
}

// Status of a trial.
const (
	OK     = "ok"
	Failed = "failed"
)

// IOPSLog is how fast a trial was in its course: operations/s of each interval in turn, all directions together. fio's ramp is left
// out.
type IOPSLog struct {
	IntervalS float64   `json:"interval_s"`
	IOPS      []float64 `json:"iops"`
}

// Trial is one line of trials.jsonl: one measured execution of one cell, or one that failed.
type Trial struct {
	Cell     string          `json:"cell"`
	Block    int             `json:"block"` // from 0
	Order    int             `json:"order"` // position in the run, from 0
	Status   string          `json:"status"`
	Failure  *Failure        `json:"failure,omitempty"`
	Started  time.Time       `json:"started"`
	Phases   Phases          `json:"phases"`
	Metrics  *fiojob.Metrics `json:"metrics,omitempty"`
	IOPSLog  *IOPSLog        `json:"iops_log,omitempty"`
	Evidence Evidence        `json:"evidence"`
	Guards   []Guard         `json:"guards,omitempty"` // the violated ones
	Missing  []string        `json:"missing,omitempty"`
}

// Failure says why a trial has no numbers.
type Failure struct {
	Fault   string   `json:"fault"` // whose: "guest", "rig" or "fio"
	Message string   `json:"message"`
	Console []string `json:"console,omitempty"` // the last lines of the guest's console
}

// Phases is where the wall time of a trial went, in seconds. BootS is there when a guest was booted for this trial, SwitchS when that of
// another hypervisor was ended and a saved one restored.
type Phases struct {
	BootS    float64 `json:"boot_s,omitempty"`
	SwitchS  float64 `json:"switch_s,omitempty"`
	AttachS  float64 `json:"attach_s"`
	PrepareS float64 `json:"prepare_s"`
	PrefillS float64 `json:"prefill_s,omitempty"`
	RampS    float64 `json:"ramp_s,omitempty"`
	MeasureS float64 `json:"measure_s"`
	CollectS float64 `json:"collect_s"`
	WallS    float64 `json:"wall_s"` // from the end of the trial before to the end of this one
}

// CacheFlags are QEMU's three cache flags of a disk, as query-block shows them.
type CacheFlags struct {
	Writeback bool `json:"writeback"`
	Direct    bool `json:"direct"`
	NoFlush   bool `json:"no_flush"`
}

// FlushPath counts flushes at each layer during one trial; a layer that was not measured is nil.
type FlushPath struct {
	Fio            *int64 `json:"fio,omitempty"`              // fsync, fdatasync calls made by fio that had new writes before them
	FioIdle        int64  `json:"fio_idle,omitempty"`         // the further ones, which promise nothing that was not promised before
	FioDsyncWrites *int64 `json:"fio_dsync_writes,omitempty"` // writes by fio with O_DSYNC or O_SYNC
	Guest          *int64 `json:"guest,omitempty"`            // flush requests completed by the guest's block device (/proc/diskstats)
	QEMU           *int64 `json:"qemu,omitempty"`             // QEMU's flush operations (fl.reqs)
	Image          *int64 `json:"image,omitempty"`            // flushes that reached the image
	// ImageDsyncWrites are the writes that reached the image with O_DSYNC, RWF_DSYNC or O_SYNC: they are durable without a flush.
	ImageDsyncWrites *int64 `json:"image_dsync_writes,omitempty"`
	// HostDevice counts the flushes of the host's device below the image: everybody's, not this trial's alone.
	HostDevice *int64 `json:"host_device,omitempty"`
	// IncludesRamp says that the layers below fio counted during fio's ramp_time too, which fio itself leaves out.
	IncludesRamp bool `json:"includes_ramp,omitempty"`
}

// Evidence proves that the cell was what it says.
type Evidence struct {
	Expected  *CacheFlags    `json:"expected,omitempty"`
	Effective *CacheFlags    `json:"effective,omitempty"`
	FlushPath FlushPath      `json:"flush_path"`
	QEMU      *BlockCounters `json:"qemu,omitempty"` // QEMU's counters over the trial
	// QEMUFlushLatency is how long QEMU took for the guest's flushes over the trial, by its own histogram; nil where the hypervisor keeps
	// none. A bucket stands for the geometric middle of one of QEMU's bins.
	QEMUFlushLatency *fiojob.Histogram `json:"qemu_flush_latency,omitempty"`
	Guest            map[string]string `json:"guest,omitempty"` // guest sysfs of the disk, for example "queue/write_cache": "write back"
	// Mount is the kernel's mount options of the file system in the guest; empty for the raw device.
	Mount string `json:"mount,omitempty"`
	// AllocatedBytes is by how much the image grew on the host's file system during the trial.
	AllocatedBytes *int64 `json:"allocated_bytes,omitempty"`
	// UnwrittenBytes is how much of the image, which was filled once, had been given back before the trial.
	UnwrittenBytes int64 `json:"unwritten_bytes,omitempty"`
	// OthersCPUs is how many of the host's processors others than QEMU kept busy during the trial, on average.
	OthersCPUs *float64 `json:"others_cpus,omitempty"`
	// ImageODirect reports whether QEMU's descriptor of the image has O_DIRECT (/proc/PID/fdinfo).
	ImageODirect *bool      `json:"image_o_direct,omitempty"`
	Residency    *Residency `json:"residency,omitempty"`
	// GuestCacheBytes is what the guest's page cache held of block devices after the drop, before fio started.
	GuestCacheBytes *int64 `json:"guest_cache_bytes,omitempty"`
}

// BlockCounters are QEMU's counters of one disk, as differences over the trial.
type BlockCounters struct {
	ReadOps    int64 `json:"read_ops"`
	ReadBytes  int64 `json:"read_bytes"`
	WriteOps   int64 `json:"write_ops"`
	WriteBytes int64 `json:"write_bytes"`
	FlushOps   int64 `json:"flush_ops"`
}

// Residency is how much of the image lay in the host's page cache (mincore).
type Residency struct {
	BeforeBytes int64 `json:"before_bytes"`
	AfterBytes  int64 `json:"after_bytes"`
	ImageBytes  int64 `json:"image_bytes"`
}

// Guard is a violated check of the measurement; it travels with the trial into every output.
type Guard struct {
	Name    string `json:"guard"`
	Message string `json:"message"`
}
