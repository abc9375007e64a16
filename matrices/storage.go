package matrices

// Storage is what the scratch disk is made of.
type Storage struct {
	Type          string // "file"
	Format        string // raw or qcow2
	SizeBytes     int64
	ClusterSize   int64  // qcow2's, in bytes; 0 is qemu-img's default
	Preallocation string // off, metadata (qcow2 alone), falloc or full, as qemu-img has them
}

// storageNamespace are the settings of the storage that may be axes: type and size are those of the whole matrix.
func storageNamespace() namespace {
	return attributeNamespace("storage", "settings of the storage that may vary", []attribute{
		{name: "format", values: []string{"raw", "qcow2"}, about: "The format of the image."},
		{name: "cluster_size", multiple: minCluster, about: "qcow2's clusters: a power of 2 from 512 to 2MiB; qemu-img's default is 64KiB."},
		{name: "preallocation", values: []string{"off", "metadata", "falloc", "full"},
			about: "What qemu-img allocates beforehand; metadata is qcow2's alone."},
	})
}

// Clusters of qcow2 (QEMU, block/qcow2.h: MIN_CLUSTER_BITS, MAX_CLUSTER_BITS; "Cluster size must be a power of two
// between 512 and 2048k").
const (
	minCluster = 512
	maxCluster = 2 << 20
)

// maxQcow2Bytes is the largest disk that qcow2 can have with clusters of this size: 4 Mi entries of the first table
// (QCOW_MAX_L1_SIZE, 32 MiB) point at clusters of 8-byte entries. It is 128 GiB at 512 bytes (tried with QEMU 7.2).
func maxQcow2Bytes(cluster int64) int64 { return 4 << 20 * (cluster / 8) * cluster }

// set takes over a setting that was checked.
func (s *Storage) set(name string, v Value) {
	switch name {
	case "format":
		s.Format = v.String()
	case "cluster_size":
		s.ClusterSize, _ = parseSize(v.String())
	case "preallocation":
		s.Preallocation = v.String()
	}
}

func (s Storage) get(name string) (Value, bool) {
	switch name {
	case "type":
		return Value{s.Type}, true
	case "format":
		return Value{s.Format}, true
	case "size":
		return Value{s.SizeBytes}, true
	case "cluster_size":
		return Value{s.ClusterSize}, s.ClusterSize > 0
	case "preallocation":
		return Value{s.Preallocation}, true
	}
	return Value{}, false
}
