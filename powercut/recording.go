package powercut

import (
	"io"
	"sync"
	"time"

	"platter/powercut/oplog"
)

// order is the one order of all that happens to the disks that share it, and the log of it. Its lock protects the disks' layers.
type order struct {
	sync.Mutex
	begin  time.Time
	log    *oplog.Writer // nil when nothing is logged
	epoch  int           // counts the logs, so that an operation that began before one is seen
	start  time.Time     // of the log
	ops    uint64        // of the log
	fault  error         // the first error in writing the log
	budget budget        // of the disks' mappings
}

func newOrder() *order { return &order{begin: time.Now()} }

// startLog begins a log of the disks, which must hold nothing that is not on their media.
func (o *order) startLog(w io.Writer, disks []*Disk) error {
	images := make([]oplog.Image, len(disks))
	for i, d := range disks {
		images[i] = oplog.Image{Name: d.name, SizeBytes: d.size}
	}
	log, err := oplog.NewWriter(w, images)
	if err != nil {
		return err
	}
	for i, d := range disks {
		d.number = i
	}
	o.epoch++
	o.log = log
	o.start = time.Now()
	o.ops = 0
	o.fault = nil
	return nil
}

// stopLog ends the log and returns how many events it has.
func (o *order) stopLog(disks []*Disk) (events int64, err error) {
	if o.log == nil {
		return 0, nil
	}
	events = o.log.Events()
	err = o.log.Flush()
	if o.fault != nil {
		err = o.fault
	}
	o.log = nil
	for _, d := range disks {
		d.number = unlogged
	}
	return events, err
}

// operation is a client's request on its way.
type operation struct {
	event oplog.Event
	epoch int
}

// arrive logs that a request came; data is what it writes.
func (o *order) arrive(d *Disk, e oplog.Event, data []byte) operation {
	if o.log == nil || d.number == unlogged {
		return operation{event: e, epoch: -1}
	}
	o.ops++
	e.Op = o.ops
	o.append(d, e, data)
	return operation{event: e, epoch: o.epoch}
}

// leave logs that a write took effect. One that came before the log began enters it now.
func (o *order) leave(d *Disk, op operation, data []byte) {
	if o.log == nil || d.number == unlogged {
		return
	}
	if op.epoch != o.epoch {
		op = o.arrive(d, op.event, data)
	}
	op.event.Kind = oplog.WriteEnd
	o.append(d, op.event, nil)
}

// flush logs the begin or the end of a flush; one that came before the log began has no place in it.
func (o *order) flush(d *Disk, op operation, kind oplog.Kind) {
	if o.log == nil || op.epoch != o.epoch {
		return
	}
	op.event.Kind = kind
	o.append(d, op.event, nil)
}

// moved logs a write-back or destage, which no client asked for.
func (o *order) moved(d *Disk, kind oplog.Kind, offset, length int64) {
	if o.log == nil || d.number == unlogged {
		return
	}
	o.append(d, oplog.Event{Kind: kind, Offset: offset, Length: length}, nil)
}

func (o *order) append(d *Disk, e oplog.Event, data []byte) {
	if o.fault != nil {
		return
	}
	if d != nil {
		e.Image = uint8(d.number)
	}
	e.TimeNS = int64(time.Since(o.start))
	o.fault = o.log.Append(e, data)
}
