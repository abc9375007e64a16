package results

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// schema1 writes a run directory of schema 1, whose cells have axis values alone.
func schema1(t *testing.T, matrix, cells string) string {
	t.Helper()
	dir := t.TempDir()
	text := `{"schema": 1, "name": "old", "matrix": "` + strings.ReplaceAll(matrix, "\n", `\n`) + `", "matrix_file": "old.yaml",
		"axes": ["fio.fsync", "disk.cache"], "cells": [` + cells + `]}`
	if err := os.WriteFile(filepath.Join(dir, ManifestFile), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

const oldMatrix = "name: old\naxes: {fio.fsync: [0, 1k], disk.cache: [none]}\nfio: {rw: randread, direct: 1, runtime: 1, size: 1m}\n"

func TestTheCellsOfSchema1AreResolvedWhenTheRunIsRead(t *testing.T) {
	run, err := Read(schema1(t, oldMatrix, `{"id": "fio.fsync=0,disk.cache=none", "axes": {"disk.cache": "none", "fio.fsync": 0}},
		{"id": "fio.fsync=1k,disk.cache=none", "axes": {"disk.cache": "none", "fio.fsync": "1k"}, "excluded": "an older reason"}`))
	if err != nil || run.Unresolved != "" {
		t.Fatalf("%v, %q", err, run.Unresolved)
	}
	a, b := run.Manifest.Cells[0], run.Manifest.Cells[1]
	if a.Axes.String() != "fio.fsync=0 disk.cache=none" || a.WorkingSet() != 1<<20 || a.Unprobed != "nothing is written" || a.Excluded != "" {
		t.Errorf("%+v", a)
	}
	if b.Fsync() != 1024 || b.Excluded != "an older reason" {
		t.Errorf("%+v", b)
	}
}

func TestARunOfSchema1WhoseMatrixCannotBeReadSaysSo(t *testing.T) {
	for matrix, want := range map[string]string{"name: old\naxes: {gone.setting: [1]}\n": "cannot read its matrix",
		strings.Replace(oldMatrix, "[none]", "[unsafe]", 1): "finds no cell"} {
		run, err := Read(schema1(t, matrix, `{"id": "fio.fsync=0,disk.cache=none", "axes": {"disk.cache": "none", "fio.fsync": 0}}`))
		if err != nil || !strings.Contains(run.Unresolved, want) || run.Manifest.Cells[0].Settings != nil {
			t.Errorf("%v, %+v; want it to say %q", err, run, want)
		}
	}
}

func TestACellWithoutAValueOfAnAxisIsRefused(t *testing.T) {
	_, err := Read(schema1(t, oldMatrix, `{"id": "fio.fsync=0", "axes": {"fio.fsync": 0}}`))
	if err == nil || !strings.Contains(err.Error(), `cell "fio.fsync=0" has no value of the axis "disk.cache"`) {
		t.Error(err)
	}
}
