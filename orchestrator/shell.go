package orchestrator

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"

	"platter/cell"
	"platter/fault"
	"platter/libvirtxml"
	"platter/orchestrator/guest"
	"platter/orchestrator/host"
	"platter/orchestrator/scratch"
)

// ShellSettings are what a guest for a person to work in is to have.
type ShellSettings struct {
	Settings                   // connection, storage, cache, accel and Tell; the rest is not used
	Boot     Boot              // memory and vcpus
	Shape    scratch.Shape     // of the scratch disk; a file system is made, not mounted
	Driver   []libvirtxml.Attr // attributes of the scratch disk's driver element
	Bus      string            // "virtio", "scsi" or "nvme"
	Terminal *os.File          // where the person sits; nil runs Command without a terminal
	Command  string            // run instead of a prompt; empty for a prompt
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
}

// Shell boots the guest with a scratch disk and gives a prompt in it, or runs the command. When the person leaves, guest and
// disk are gone. A command that fails is a *guest.ExitError.
func Shell(ctx context.Context, s ShellSettings) (err error) {
	if err := s.checkAccel(); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	if err := host.CheckSpace(s.Storage, 2*s.Shape.SizeBytes+scratch.FreeMargin); err != nil {
		return err
	}
	site, err := openSite(ctx, s.Settings, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	if err := mounts(site.image, s.Shape.Filesystem); err != nil {
		return err
	}
	s.Tell(Event{Message: "filling the scratch disk"})
	image := scratch.NewFile(site.work.path, 0, s.Shape)
	if err := image.Make(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, image.Remove(ctx)) }()
	s.Boot.SCSI = s.Bus == "scsi"
	for _, a := range s.Driver {
		if a.Name == "iothread" {
			s.Boot.IOThreads, _ = strconv.Atoi(a.Value)
		}
	}
	s.Tell(Event{Message: "starting the guest"})
	m, err := site.lab().start(ctx, s.Boot)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		err = errors.Join(err, m.Close(closing))
	}()
	if err := m.Attach(ctx, scratch.Plain(image.Source(), s.Shape.Format, s.Bus, s.Driver)); err != nil {
		return err
	}
	if s.Shape.Filesystem != "none" {
		if err := m.Format(ctx, s.Shape.Filesystem, s.Shape.FileBytes); err != nil {
			return unready(ctx, err)
		}
	}
	d, err := m.Prepare(ctx, guest.Setup{Filesystem: "none", WriteCache: "device", CacheType: "device"})
	if err != nil {
		return unready(ctx, err)
	}
	s.Tell(Event{Message: "the scratch disk is " + d.Device + "; leave with exit"})
	return m.client.Shell(ctx, guest.Terminal{File: s.Terminal, Command: s.Command, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr})
}

// unready says that the scratch disk could not be made ready for the person. A program of ours that failed in the guest is not the
// person's command: its *guest.ExitError is not passed on.
func unready(ctx context.Context, err error) error {
	var failed *guest.ExitError
	if ctx.Err() != nil || !errors.As(err, &failed) {
		return err
	}
	return fault.New(fault.Guest, "%v", err)
}

// check refuses what could not work before anything is made.
func (s ShellSettings) check() error {
	if !slices.Contains([]string{"virtio", "scsi", "nvme"}, s.Bus) {
		return fault.New(fault.Usage, "bus %q: it is virtio, scsi or nvme", s.Bus)
	}
	if _, err := scratch.Plain(scratch.FileSource("/scratch"), s.Shape.Format, s.Bus, s.Driver).XML(); err != nil {
		return fault.New(fault.Usage, "%v", err)
	}
	if smallest, _ := cell.SmallestDisk(s.Shape.Filesystem); s.Shape.SizeBytes < smallest {
		return fault.New(fault.Usage, "%s takes %d MiB at least: ask for a larger --size", s.Shape.Filesystem, (smallest+1<<20-1)>>20)
	}
	return nil
}
