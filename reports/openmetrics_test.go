package reports

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"platter/cell"
	"platter/internal/golden"
	"platter/results"
)

// exposition is a text in OpenMetrics' format that was read: the values by name and labels.
type exposition map[string]float64

var (
	metricName  = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	metricLabel = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|})`)
)

// readExposition reads a text by the rules of OpenMetrics 1.0.0 that a writer can break.
func readExposition(t *testing.T, text string) exposition {
	t.Helper()
	text, ended := strings.CutSuffix(text, "# EOF\n")
	if !ended {
		t.Fatal("the text does not end with # EOF")
	}
	values := exposition{}
	kinds := map[string]string{}
	family, kind := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if about, is := strings.CutPrefix(line, "# "); is {
			words := strings.SplitN(about, " ", 3)
			if len(words) != 3 || !metricName.MatchString(words[1]) {
				t.Fatalf("not metadata: %s", line)
			}
			switch words[0] {
			case "TYPE":
				if _, again := kinds[words[1]]; again {
					t.Fatalf("a family in two places: %s", words[1])
				}
				family, kind = words[1], words[2]
				kinds[family] = kind
			case "UNIT":
				if words[1] != family || !strings.HasSuffix(family, "_"+words[2]) {
					t.Fatalf("the unit is not the end of the name: %s", line)
				}
			case "HELP":
				if words[1] != family {
					t.Fatalf("help of another family: %s", line)
				}
			default:
				t.Fatalf("not metadata: %s", line)
			}
			continue
		}
		name, labels, value := readSample(t, line)
		suffix, mine := strings.CutPrefix(name, family)
		if !mine || !slices.Contains(map[string][]string{"gauge": {""}, "stateset": {""}, "info": {"_info"},
			"summary": {"", "_count", "_sum"}}[kind], suffix) {
			t.Fatalf("a sample of another family than %s (%s): %s", family, kind, line)
		}
		if _, has := labels[family]; kind == "stateset" && (!has || value != 0 && value != 1) || kind == "info" && value != 1 {
			t.Fatalf("not of a %s: %s", kind, line)
		}
		if q, has := labels["quantile"]; has != (kind == "summary" && suffix == "") || has && q > "1" {
			t.Fatalf("a quantile where there is none, or none: %s", line)
		}
		key := keyOf(name, labels)
		if _, again := values[key]; again {
			t.Fatalf("twice: %s", line)
		}
		values[key] = value
	}
	return values
}

func readSample(t *testing.T, line string) (name string, labels map[string]string, value float64) {
	t.Helper()
	labels = map[string]string{}
	i := strings.IndexAny(line, "{ ")
	if i < 0 || !metricName.MatchString(line[:i]) {
		t.Fatalf("no sample: %s", line)
	}
	name, rest := line[:i], line[i:]
	if strings.HasPrefix(rest, "{") {
		rest = rest[1:]
		for end := ","; end == ","; {
			m := metricLabel.FindStringSubmatch(rest)
			if m == nil {
				t.Fatalf("no label at %q: %s", rest, line)
			}
			if _, again := labels[m[1]]; again {
				t.Fatalf("a label twice: %s", line)
			}
			labels[m[1]] = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(m[2])
			rest, end = rest[len(m[0]):], m[3]
		}
	}
	value, err := strconv.ParseFloat(strings.TrimPrefix(rest, " "), 64)
	if err != nil || !strings.HasPrefix(rest, " ") {
		t.Fatalf("no value: %s", line)
	}
	return name, labels, value
}

func keyOf(name string, labels map[string]string) string {
	var parts []string
	for k, v := range labels {
		parts = append(parts, fmt.Sprintf("%s=%q", k, v))
	}
	slices.Sort(parts)
	return name + "{" + strings.Join(parts, ",") + "}"
}

func TestTheOpenMetricsOfARun(t *testing.T) {
	golden.Equal(t, "testdata/export.openmetrics", export(t, withFailedCampaigns(), "openmetrics"))
	for name, run := range map[string]*results.Run{"few": generated(2, 1), "none": generated(0, 1), "failures": withFailures(),
		"safety": withSafety(6)} {
		t.Run(name, func(t *testing.T) { readExposition(t, string(export(t, run, "openmetrics"))) })
	}
}

func TestTheExpositionHasTheModelsNumbersAndNothingThatWasNotMeasured(t *testing.T) {
	for name, run := range map[string]*results.Run{"safety": withFailedCampaigns(), "failures": withFailures(), "few": generated(2, 1)} {
		t.Run(name, func(t *testing.T) {
			m := New(run)
			got := readExposition(t, string(export(t, run, "openmetrics")))
			for _, c := range m.Cells {
				labels := map[string]string{"run": "generated", "cell": c.ID, "disk_cache": c.Axes[0].Value.String(),
					"fio_fsync": c.Axes[1].Value.String()}
				check := func(metric string, want float64, measured bool, more ...string) {
					t.Helper()
					for i := 0; i < len(more); i += 2 {
						labels[more[i]] = more[i+1]
						defer delete(labels, more[i])
					}
					if v, there := got[keyOf(metric, labels)]; there != measured || measured && v != want {
						t.Errorf("%s of %v: %v, there: %v; want %v, measured: %v", metric, labels, v, there, want, measured)
					}
				}
				s := newJSONSummary(c.IOPS)
				bounded := s != nil && s.Lo != nil
				if check("platter_cell_trials", float64(c.Trials), true, "status", "ok"); s == nil {
					s = &jsonSummary{}
				}
				check("platter_cell_iops_median", s.Median, c.IOPS != nil)
				if bounded {
					check("platter_cell_iops_lo", *s.Lo, true)
					check("platter_cell_iops_hi", *s.Hi, true)
				} else {
					check("platter_cell_iops_lo", 0, false)
				}
				for _, kind := range directions {
					l, ok := c.Latency[kind]
					check("platter_cell_latency_seconds", float64(l.P99)/1e9, ok, "op", kind, "quantile", "0.99")
					check("platter_cell_latency_seconds", float64(l.P999)/1e9, ok && l.P999 > 0, "op", kind, "quantile", "0.999")
				}
				for _, q := range m.Safety.Questions {
					r := m.Safety.row(c.ID, q)
					judged := r != nil && r.Status == results.OK
					if r == nil {
						r = &SafetyRow{}
					}
					check("platter_safety_promises_lost", float64(r.PromisesLost), judged, "class", q.Class, "drive_cache", q.DriveCache)
					for _, v := range verdicts {
						check("platter_safety_verdict", truth(r.Safety.Verdict == v), judged, "class", q.Class, "drive_cache", q.DriveCache,
							"platter_safety_verdict", v)
					}
				}
			}
		})
	}
}

func TestHostileTextStaysInItsLabel(t *testing.T) {
	run := withSafety(6)
	hostile := "a\"} 1\n# EOF\n\\x \xff"
	run.Manifest.Host.Name = hostile
	run.Manifest.Cells[1].Axes = run.Manifest.Cells[1].Axes.With("disk.cache", cell.Value{V: hostile})
	run.Trials[0].Guards = []results.Guard{{Name: hostile, Message: hostile}}
	text := string(export(t, run, "openmetrics"))
	readExposition(t, text)
	if n := strings.Count(text, "\n# EOF\n"); n != 1 {
		t.Errorf("the text ends %d times", n)
	}
}

func TestAxesWhoseLabelsComeOutAlikeAreTold(t *testing.T) {
	got := labelNames([]string{"disk.io-x", "disk.io_x", "run", "axis.run", "9p.x"})
	if want := []string{"disk_io_x", "disk_io_x_2", "axis_run", "axis_run_2", "axis_9p_x"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
