package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkBesideEarlier runs this build and an earlier one, which the environment names, on the same run directories in turn, and
// prints the medians of wall time and peak memory of both and their ratios. scripts/beside.sh makes the builds.
func BenchmarkBesideEarlier(b *testing.B) {
	earlier, now := os.Getenv("PLATTER_EARLIER"), os.Getenv("PLATTER_NOW")
	if earlier == "" || now == "" {
		b.Skip("make bench builds what is compared and names it in PLATTER_EARLIER and PLATTER_NOW")
	}
	dir := b.TempDir()
	for i, name := range []string{"before", "after", "many"} {
		cells, trials := 1000, 10
		if name == "many" {
			cells, trials = 500, 20
		}
		if err := writeLargeRun(filepath.Join(dir, name), cells, trials, uint64(i)); err != nil {
			b.Fatal(err)
		}
	}
	for _, command := range [][]string{
		{"compare", "before", "after"},
		{"report", "many", "-o", "report.html"},
	} {
		b.Run(command[0], func(b *testing.B) {
			const runs = 7 // of each build
			var walls, peaks [2][]float64
			for range runs {
				for i, program := range []string{earlier, now} {
					wall, peak := cost(b, dir, program, command)
					walls[i], peaks[i] = append(walls[i], wall), append(peaks[i], peak)
				}
			}
			wall, peak := [2]float64{middle(walls[0]), middle(walls[1])}, [2]float64{middle(peaks[0]), middle(peaks[1])}
			b.Logf("medians of %d runs of each build in turn, on the same run directories of schema 1, 10,000 trials each; MiB is the most memory "+
				"that was resident (getrusage)", runs)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(wall[0], "s-earlier")
			b.ReportMetric(wall[1], "s-now")
			b.ReportMetric(wall[1]/wall[0], "wall-ratio")
			b.ReportMetric(peak[0], "MiB-earlier")
			b.ReportMetric(peak[1], "MiB-now")
			b.ReportMetric(peak[1]/peak[0], "peak-ratio")
		})
	}
}

// cost runs a program and returns its wall time in seconds and its largest resident memory in MiB, of getrusage(2).
func cost(b *testing.B, dir, program string, args []string) (wall, peak float64) {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout = dir, io.Discard
	var said strings.Builder
	cmd.Stderr = &said
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%v: %v\n%s", cmd, err, said.String())
	}
	wall = time.Since(begin).Seconds()
	return wall, float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
}

func middle(values []float64) float64 {
	slices.SortFunc(values, cmp.Compare)
	return values[len(values)/2]
}

// writeLargeRun writes a run directory in the form of schema 1, which the earlier build reads, with latencies in as many bins as a
// trial of a minute has, and its course. Cells is a multiple of 50. It uses none of platter's types: the files must stay as they are.
func writeLargeRun(dir string, cells, trials int, seed uint64) (err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	type m = map[string]any
	depths := make([]string, cells/50)
	for i := range depths {
		depths[i] = fmt.Sprint(1 + i)
	}
	var ids []string
	var list []m
	for _, cache := range []string{"none", "writeback", "writethrough", "directsync", "unsafe"} {
		for _, bs := range []string{"4k", "8k", "16k", "64k", "1m"} {
			for fsync := range 2 {
				for depth := range depths {
					id := fmt.Sprintf("disk.cache=%s,fio.bs=%s,fio.fsync=%d,fio.iodepth=%d", cache, bs, fsync, 1+depth)
					ids = append(ids, id)
					list = append(list, m{"id": id, "axes": m{"disk.cache": cache, "fio.bs": bs, "fio.fsync": fsync, "fio.iodepth": 1 + depth}})
				}
			}
		}
	}
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	manifest, err := json.Marshal(m{"schema": 1, "name": "large", "tool": "platter", "command": []string{"platter", "run", "large.yaml"},
		"matrix": "name: large\naxes: {disk.cache: [none, writeback, writethrough, directsync, unsafe], fio.bs: [4k, 8k, 16k, 64k, 1m], " +
			"fio.fsync: [0, 1], fio.iodepth: [" +
			strings.Join(depths, ", ") + "]}\nfio: {rw: randwrite, ioengine: libaio, direct: 1, runtime: 1}\n",
		"matrix_file": "large.yaml", "seed": seed, "trials": trials, "started": started, "cells": list,
		"axes": []string{"disk.cache", "fio.bs", "fio.fsync", "fio.iodepth"},
		"host": m{"name": "host", "kernel": "6.1", "cpu": "a processor", "cpus": 2, "memory_bytes": 25e9, "uri": "qemu:///system",
			"libvirt": "9.0.0",
			"qemu":    "7.2.0", "accel": "kvm", "accel_reason": "a guest was booted under it"},
		"guest":   m{"image_digest": "0123456789abcdef", "kernel": "6.1", "fio": "3.33", "memory_bytes": 1e9, "vcpus": 2},
		"storage": m{"directory": "/srv", "file_system": "ext4", "format": "raw", "size_bytes": 1e9}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), manifest, 0o644); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "trials.jsonl"))
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	for order := range trials * cells {
		cell, fsync := order%cells, order%cells/len(depths)%2
		ios, latency := bins(rng, 250)
		rate := float64(ios) / 1.5
		fmt.Fprintf(out, `{"cell":%q,"block":%d,"order":%d,"status":"ok","started":%q,"phases":{"attach_s":0.03233702,"prepare_s":0.470228712,`+
			`"prefill_s":0.160674635,"measure_s":1.5,"collect_s":0.586757224,"wall_s":2.737596305},"metrics":{"write":{"ios":%d,"bytes":%d,`+
			`"runtime_ns":1500000000,"iops":%g,"bw":%g,"latency":%s,"latency_kind":"lat"},`,
			ids[cell], order/cells, order, started.Add(time.Duration(order)*time.Second).Format(time.RFC3339Nano), ios, 4096*ios, rate, 4096*rate,
			latency)
		if syncs := int64(0); fsync == 1 {
			syncs, latency = bins(rng, 150)
			fmt.Fprintf(out, `"sync":{"ios":%d,"latency":%s}},`, syncs, latency)
		} else {
			fmt.Fprint(out, `"sync":{"ios":0}},`)
		}
		fmt.Fprint(out, `"iops_log":{"interval_s":0.1,"iops":[`)
		for i := range 15 {
			fmt.Fprintf(out, "%s%g", strings.Repeat(",", min(i, 1)), float64(rng.IntN(100_000))/10)
		}
		fmt.Fprintf(out, `]},"evidence":{"expected":{"writeback":true,"direct":true,"no_flush":false},`+
			`"effective":{"writeback":true,"direct":true,"no_flush":false},"flush_path":{"fio":%d,"guest":%d,"qemu":%d,"host_device":1},`+
			`"qemu":{"read_ops":0,"read_bytes":0,"write_ops":%d,"write_bytes":%d,"flush_ops":%d},"guest":{"cache_type":"write back",`+
			`"clocksource":"tsc","queue/fua":"0","queue/logical_block_size":"512","queue/nr_requests":"256","queue/physical_block_size":"512",`+
			`"queue/rotational":"1","queue/scheduler":"[none] mq-deadline","queue/write_cache":"write back","size":"131072"},"allocated_bytes":0,"others_cpus":0.01,`+
			`"image_o_direct":true,"residency":{"before_bytes":0,"after_bytes":1933312,"image_bytes":67108864},"guest_cache_bytes":876544},`+
			`"guards":[{"guard":"steady_state","message":"1.5s is too short to see whether the rate is steady: that takes 60 s"}],`+
			`"missing":["flush_path.image"]}`+"\n", ios, ios, ios, ios, 4096*ios, ios)
	}
	return cmp.Or(out.Flush(), f.Close())
}

// bins are operations over so many of fio's bins from 100 µs on, and their number: [[ns,count],…].
func bins(rng *rand.Rand, n int) (ios int64, histogram string) {
	var text strings.Builder
	ns, width := int64(100_864), int64(1024)
	for i := range n {
		count := 1 + rng.Int64N(500)
		ios += count
		fmt.Fprintf(&text, "%c[%d,%d]", "[,"[min(i, 1)], ns, count)
		if ns += width; ns >= 128*width {
			ns, width = ns+width/2, 2*width
		}
	}
	return ios, text.String() + "]"
}
