package hypervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Searchable reports whether a user with these groups can reach the file at the absolute path: whether every directory
// above it, also above what its links lead to, lets that user through (its x bit). The error names the first directory
// that does not, and how to mend that. The file itself and its mode do not matter (libvirt gives the image to QEMU's
// user); what does not exist blocks nobody. ACLs are ignored, as are security modules. A uid of 0 is always let through.
func Searchable(path string, uid int, groups ...int) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("path %q is not absolute", path)
	}
	if uid == 0 {
		return nil
	}
	if err := searchableParents(path, uid, groups); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil // its parents that exist were all let through
	}
	return searchableParents(real, uid, groups)
}

func searchableParents(path string, uid int, groups []int) error {
	for _, dir := range parents(path) {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at directory %s: %w", dir, err)
		}
		if !allowed(info, 1, uid, groups) {
			return fmt.Errorf("uid %d may not enter the directory %s (mode %04o): chmod o+x %s, or keep the images elsewhere",
				uid, dir, info.Mode().Perm(), dir)
		}
	}
	return nil
}

// parents are the directories above an absolute path, from the root down.
func parents(path string) []string {
	var dirs []string
	for dir := filepath.Dir(filepath.Clean(path)); ; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
		if dir == string(filepath.Separator) {
			break
		}
	}
	slices.Reverse(dirs)
	return dirs
}

// allowed applies the file's mode as the kernel does: the owner's bits for the owner, else the group's for its members,
// else the others'. want is a sum of 4 (read), 2 (write) and 1 (execute, search).
func allowed(info fs.FileInfo, want fs.FileMode, uid int, groups []int) bool {
	if uid == 0 {
		return true
	}
	mode := info.Mode().Perm()
	stat := info.Sys().(*syscall.Stat_t)
	switch {
	case int(stat.Uid) == uid:
		mode >>= 6
	case slices.Contains(groups, int(stat.Gid)):
		mode >>= 3
	}
	return mode&want == want
}

// kvmProblem says why the user cannot use the KVM device at path, in one line with the mend; "" when modes allow it.
func kvmProblem(path string, uid int, groups []int) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path + " does not exist: load the module kvm_intel or kvm_amd, or use emulation"
	case err != nil:
		return strings.TrimPrefix(err.Error(), "stat ")
	case !allowed(info, 6, uid, groups):
		return fmt.Sprintf("uid %d may not use %s (mode %04o), which also makes each domain start take a minute: chgrp kvm %s && chmod 660 %s",
			uid, path, info.Mode().Perm(), path, path)
	}
	return ""
}
