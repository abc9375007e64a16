// Platter measures, for each way of configuring a virtual disk, how fast it is: it boots a guest on libvirt, plugs disks
// in with the settings of a matrix, runs fio in the guest and keeps what came out with the evidence for it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}
