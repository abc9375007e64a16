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

// syncOf is how fio's writes are synchronous: "none", "dsync" or "sync" (fio's "sync"; 0 and 1 as of old).
func syncOf(c matrices.Cell) string {
	switch s := setting(c.Fio, "sync"); s {
	case "", "0":
		return "none"
	case "1":
		return "sync"
	default:
		return s
	}
}

// syncWrites tells whether fio's writes are O_DSYNC or O_SYNC.
func syncWrites(c matrices.Cell) bool { return syncOf(c) != "none" }

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
