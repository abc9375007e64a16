package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"platter/libvirtxml"
	"platter/orchestrator/hypervisor"
)

// Leftover is something of platter's that outlived its run: a domain, a work directory, or both.
type Leftover struct {
	Domain  string // name of the domain; empty when there is none
	Workdir string // directory of scratch image and saved guest; empty when it is gone

	lock *os.File // held so that it stays dead until it is removed
}

// String names it for people.
func (l Leftover) String() string {
	switch {
	case l.Workdir == "":
		return "domain " + l.Domain
	case l.Domain == "":
		return "directory " + l.Workdir
	default:
		return fmt.Sprintf("domain %s and directory %s", l.Domain, l.Workdir)
	}
}

// Leftovers finds what dead runs left: the domains on the host that bear platter's mark, and the work directories in the
// storage directory, unless a living run holds their lock. host may be nil: then only directories are looked for.
// RemoveLeftovers must follow, or Release.
func Leftovers(ctx context.Context, host *hypervisor.Host, storage string) ([]Leftover, error) {
	dead, err := deadWorkdirs(storage)
	found := map[string]*Leftover{}
	var order []string
	add := func(dir string, lock *os.File) *Leftover {
		found[dir] = &Leftover{Workdir: dir, lock: lock}
		order = append(order, dir)
		return found[dir]
	}
	for _, w := range dead {
		add(w.path, w.lock)
	}
	if err == nil && host != nil {
		err = addDomains(ctx, host, found, add)
	}
	var leftovers []Leftover
	for _, dir := range order {
		leftovers = append(leftovers, *found[dir])
	}
	if err != nil {
		Release(leftovers)
		return nil, err
	}
	return leftovers, nil
}

// addDomains finds the domains whose metadata names a work directory of a dead run.
func addDomains(ctx context.Context, host *hypervisor.Host, found map[string]*Leftover, add func(string, *os.File) *Leftover) error {
	domains, err := host.List(ctx)
	if err != nil {
		return err
	}
	for _, d := range domains {
		dir, ours, err := libvirtxml.ParseOwner(d.XML)
		if err != nil || !ours || !workdirName.MatchString(filepath.Base(dir)) || d.Name() != domainName(dir) {
			continue
		}
		l := found[dir]
		if l == nil {
			w, err := deadWorkdir(dir)
			switch {
			case errors.Is(err, errLocked):
				continue
			case errors.Is(err, errNotOurs):
				l = add(dir, nil)
				l.Workdir = ""
			case err != nil:
				return err
			default:
				l = add(dir, w.lock)
			}
		}
		l.Domain = d.Name()
	}
	return nil
}

// Release lets go of leftovers without removing them.
func Release(leftovers []Leftover) {
	for _, l := range leftovers {
		if l.lock != nil {
			l.lock.Close()
		}
	}
}

// RemoveLeftovers ends the domains and removes the directories. It goes on after an error and returns all of them.
func RemoveLeftovers(ctx context.Context, host *hypervisor.Host, leftovers []Leftover) error {
	defer Release(leftovers)
	var errs []error
	for _, l := range leftovers {
		if l.Domain != "" {
			if err := destroy(ctx, host, l.Domain); err != nil {
				errs = append(errs, err)
				continue // its QEMU may still use the directory
			}
		}
		if l.Workdir != "" {
			errs = append(errs, removeWorkdir(l.Workdir))
		}
	}
	return errors.Join(errs...)
}

func destroy(ctx context.Context, host *hypervisor.Host, name string) error {
	d, err := host.Lookup(ctx, name)
	if errors.Is(err, hypervisor.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.Destroy(ctx)
}
