package powercut

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// spin is how long before its end a wait stops sleeping and watches the clock: what the kernel takes to wake a thread up.
const spin = 10 * time.Microsecond

// wait waits as exactly as the machine can. time.Sleep rounds to a millisecond here; so the thread sleeps in nanosleep(2), with
// the timer slack of 50 µs that threads have by default taken away, and spins for the last 10 µs.
func wait(d time.Duration) {
	end := time.Now().Add(d)
	if d > spin {
		runtime.LockOSThread()
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // where it is refused waits are 50 µs longer
		for left := d - spin; left > 0; left = time.Until(end) - spin {
			t := unix.NsecToTimespec(int64(left))
			if unix.Nanosleep(&t, nil) == nil {
				break
			}
		}
		runtime.UnlockOSThread()
	}
	for time.Now().Before(end) {
	}
}
