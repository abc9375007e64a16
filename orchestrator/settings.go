package orchestrator

import (
	"strconv"
	"strings"

	"platter/matrices"
)

// cache is the cell's cache attribute; empty where the cell does not set it.
func cache(c matrices.Cell) string { return setting(c.Disk, "cache") }

// bus is the cell's bus, virtio unless it says so.
func bus(c matrices.Cell) string {
	if b := setting(c.Disk, "bus"); b != "" {
		return b
	}
	return "virtio"
}

// iothread is the number of the iothread that serves the cell's disk; 0 where the cell names none.
func iothread(c matrices.Cell) int {
	n, _ := strconv.Atoi(setting(c.Disk, "iothread"))
	return n
}

// direct tells whether fio opens the disk with O_DIRECT in the guest; fio's own default is not to.
func direct(c matrices.Cell) bool { return setting(c.Fio, "direct") == "1" }

// syncWrites tells whether fio's writes are O_DSYNC or O_SYNC (fio's "sync": none, dsync, sync; 0 and 1 as of old).
func syncWrites(c matrices.Cell) bool {
	switch setting(c.Fio, "sync") {
	case "", "0", "none":
		return false
	}
	return true
}

func setting(settings []matrices.Setting, name string) string {
	for _, s := range settings {
		if s.Name == name {
			return s.Value.String()
		}
	}
	return ""
}

// lastLine is the last line of text that is not blank.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
