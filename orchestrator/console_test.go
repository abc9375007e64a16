package orchestrator

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A kernel that panics says why, and then much more.
func TestAFailedBootSaysWhyTheKernelGaveUp(t *testing.T) {
	console := "[    0.0] Linux version 6.12\r\n[    1.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00\r\n"
	for i := range 40 {
		console += fmt.Sprintf("[    1.0]  call %d\r\n", i)
	}
	console += "[    1.1] Kernel Offset: 0x1b000000 from 0xffffffff81000000\r\n"
	for _, end := range []string{"", "[    1.1] ---[ end Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00 ]---\r\n"} {
		err := &BootError{Err: errors.New("no answer"), Console: endOfConsole(console + end)}
		if !strings.Contains(err.Error(), `Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00"`) {
			t.Errorf("got %v", err)
		}
		if n := len(err.Console); n != consoleLines+1 {
			t.Errorf("%d lines of the console are kept", n)
		}
	}
	quiet := &BootError{Err: errors.New("no answer"), Console: endOfConsole("[    0.0] Linux version 6.12\r\n\r\nrandom: crng init done\r\n")}
	if !strings.Contains(quiet.Error(), `console: "random: crng init done"`) {
		t.Errorf("got %v", quiet)
	}
}
