package policy

import (
	_ "embed"
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"

	"platter/cell"
	"platter/strictyaml"
)

// DefaultName is the policy that comes with platter and is used when none is named.
const DefaultName = "default"

// Ephemeral is the label of a disk whose data may be lost: the only one on which a policy can allow cache=unsafe.
const Ephemeral = "ephemeral"

//go:embed default.yaml
var defaultPolicy []byte

// Builtin is the policy of this name that comes with platter; there is one, DefaultName.
func Builtin(name string) (*Policy, error) {
	if name != DefaultName {
		return nil, fmt.Errorf("there is no built-in policy %q: the built-in one is %s", name, DefaultName)
	}
	return Parse(DefaultName+".yaml", defaultPolicy)
}

// Parse reads a policy file. File is its name for messages. Every error is a *strictyaml.Error, which says where; the
// first one found is given. What the file does not say is zero, but for Alpha, which is 0.05.
func Parse(file string, text []byte) (*Policy, error) {
	f, root, err := yamlKind.Read(file, text)
	if err != nil {
		return nil, err
	}
	r := policyReader{policyFile: policyFile{f}, policy: &Policy{File: file, Text: string(text), Performance: Performance{Alpha: 0.05}}}
	if err := r.read(root); err != nil {
		return nil, err
	}
	return r.policy, nil
}

// Limits of a policy.
const (
	maxRules = 100 // of each list
	maxAge   = 3650 * 24 * time.Hour
)

// cacheModes are what a rule about disks can allow; "default" is not one of them, because it says nothing.
func cacheModes() []string {
	return []string{"none", "writeback", "writethrough", "directsync", "unsafe"}
}

// sameFacts are what Evidence.Same may name.
func sameFacts() []string { return []string{"qemu", "kernel", "guest_image"} }

// metrics are what a rule may be about.
func metrics() []string {
	all := []string{"iops", "bw"}
	for _, kind := range []string{"read", "write", "flush"} {
		for _, p := range []string{"p50", "p99", "p999"} {
			all = append(all, kind+"_"+p)
		}
	}
	return append(all, "exposure_ms")
}

// policyReader fills a policy from its file. Its methods give a *strictyaml.Error with the place, or nil.
type policyReader struct {
	policyFile
	policy *Policy
}

func (r *policyReader) read(root ast.Node) error {
	p := r.policy
	return r.mapping("the policy", root, []field{
		{"name", r.name(&p.Name), true},
		{"performance", r.performance, false},
		{"safety", r.safety, false},
		{"disks", r.disks, false},
		{"evidence", r.evidence, false},
	})
}

// policyName is what may stand in a name.
var policyName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func (r *policyReader) name(into *string) reading {
	return func(what string, n ast.Node) error {
		if err := r.text(into)(what, n); err != nil {
			return err
		}
		if !policyName.MatchString(*into) {
			return r.at(n, "write at most 64 lower-case letters, digits and dashes", "the name %q is not one word", *into)
		}
		return nil
	}
}

func (r *policyReader) performance(what string, n ast.Node) error {
	p := &r.policy.Performance
	if err := r.mapping(what, n, []field{
		{"alpha", r.ratio(&p.Alpha, 0.5), false},
		{"margin", r.ratio(&p.Margin, 1), false},
		{"looks", r.looks, false},
		{"rules", r.rules, false},
	}); err != nil {
		return err
	}
	if p.Alpha == 0 {
		return r.at(n, "write 5%", "alpha is 0, and no test ever reaches it")
	}
	return nil
}

// looks reads after how many blocks to look: each more than the one before.
func (r *policyReader) looks(what string, n ast.Node) error {
	return r.list(what, n, func(what string, n ast.Node) error {
		looks, look := r.policy.Performance.Looks, int64(0)
		if err := r.whole(&look, 1, 1000)(what, n); err != nil {
			return err
		}
		if len(looks) > 0 && int(look) <= looks[len(looks)-1] {
			return r.at(n, "for example [10, 14, 20, 28]", "a look after %d blocks does not follow one after %d", look, looks[len(looks)-1])
		}
		r.policy.Performance.Looks = append(looks, int(look))
		return nil
	})
}

// onOff are a switch's words, as in matrices.
func onOff() []string { return []string{"on", "off"} }

func (r *policyReader) rules(what string, n ast.Node) error {
	return r.list(what, n, func(_ string, n ast.Node) error {
		rule, optional := Rule{Line: strictyaml.PositionOf(n).Line}, ""
		err := r.mapping("a rule", n, []field{
			{"metric", r.oneOf(&rule.Metric, metrics()), true},
			{"cells", r.cells(&rule), false},
			{"regression", r.regression(&rule), true},
			{"optional", r.oneOf(&optional, onOff()), false},
		})
		rule.Optional = optional == "on"
		if err != nil {
			return err
		}
		for _, other := range r.policy.Performance.Rules {
			if other.Metric == rule.Metric && maps.Equal(other.Cells, rule.Cells) {
				return r.at(n, "remove one of them", "the rule in line %d is about the same metric and cells", other.Line)
			}
		}
		r.policy.Performance.Rules = append(r.policy.Performance.Rules, rule)
		return nil
	})
}

// regression reads how much worse a metric may get. What is a rate cannot get worse by all of it.
func (r *policyReader) regression(rule *Rule) reading {
	return func(what string, n ast.Node) error {
		limit := 10.0
		if rule.Metric == "iops" || rule.Metric == "bw" {
			limit = 0.99
		}
		return r.ratio(&rule.Regression, limit)(what, n)
	}
}

// axisName is what a matrix may call an axis; whether a run has it, gate sees.
var axisName = regexp.MustCompile(`^(disk|guest|storage|fio|host|variant)\.[a-z0-9_-]+$`)

func (r *policyReader) cells(rule *Rule) reading {
	return func(what string, n ast.Node) error {
		rule.Cells = map[string]string{}
		return r.entries(what, n, func(key, value ast.Node) error {
			name := key.GetToken().Value
			if !axisName.MatchString(name) {
				return r.at(key, "for example disk.cache or fio.fsync", "%q is not the name of an axis", name)
			}
			text, ok := scalarText(value)
			if !ok {
				return r.at(value, "write one value; for another one add a rule", "the value of %s should be a single value", name)
			}
			rule.Cells[name] = text
			return nil
		})
	}
}

func (r *policyReader) safety(what string, n ast.Node) error {
	s := &r.policy.Safety
	return r.mapping(what, n, []field{
		{"classes", r.words(&s.Classes, cell.FailureClasses()), false},
		{"broken_promises", r.byClass(func(what, class string, n ast.Node) error {
			var promises int64
			if err := r.whole(&promises, 0, math.MaxInt32)(what, n); err != nil {
				return err
			}
			if s.BrokenPromises == nil {
				s.BrokenPromises = map[string]int64{}
			}
			s.BrokenPromises[class] = promises
			return nil
		}), false},
		{"exposure_ms", r.byClass(func(what, class string, n ast.Node) error {
			var ms float64
			if err := r.number(&ms, math.MaxInt32)(what, n); err != nil {
				return err
			}
			if s.ExposureMS == nil {
				s.ExposureMS = map[string]float64{}
			}
			s.ExposureMS[class] = ms
			return nil
		}), false},
	})
}

// byClass reads a mapping from failure classes. A limit for a class that need not have been judged would pass whatever
// happens in it, so it is refused.
func (r *policyReader) byClass(read func(what, class string, n ast.Node) error) reading {
	return func(what string, n ast.Node) error {
		return r.entries(what, n, func(key, value ast.Node) error {
			class := ""
			if err := r.oneOf(&class, cell.FailureClasses())("a failure class", key); err != nil {
				return err
			}
			if !slices.Contains(r.policy.Safety.Classes, class) {
				return r.at(key, "add it to safety.classes", "%s limits %s, which safety.classes does not want judged", what, class)
			}
			return read(what+"."+class, class, value)
		})
	}
}

func (r *policyReader) disks(what string, n ast.Node) error {
	return r.list(what, n, func(_ string, n ast.Node) error {
		rule := DiskRule{Line: strictyaml.PositionOf(n).Line}
		err := r.mapping("a rule about disks", n, []field{
			{"target", r.text(&rule.Target), false},
			{"serial", r.text(&rule.Serial), false},
			{"label", r.text(&rule.Label), false},
			{"domain", r.pattern(&rule.Domain), false},
			{"cache", r.words(&rule.Cache, cacheModes()), true},
			{"reason", r.text(&rule.Reason), false},
		})
		if err != nil {
			return err
		}
		return r.diskRule(n, rule)
	})
}

// diskRule checks a rule in itself and against those before it.
func (r *policyReader) diskRule(n ast.Node, rule DiskRule) error {
	if why := rule.UnsafeRefused(); why != "" && slices.Contains(rule.Cache, "unsafe") {
		return r.at(n, "write {label: ephemeral, cache: [unsafe], reason: why its data may be lost}", "the rule allows unsafe %s", why)
	}
	for _, before := range r.policy.Disks {
		if before.covers(rule) {
			return r.at(n, "the first rule that matches a disk decides: put the narrower one first",
				"the rule is never reached: the one in line %d matches all its disks", before.Line)
		}
	}
	r.policy.Disks = append(r.policy.Disks, rule)
	return nil
}

// UnsafeRefused tells what the rule lacks to allow cache=unsafe: the label Ephemeral, or a reason. It is empty when it lacks nothing.
func (d DiskRule) UnsafeRefused() string {
	switch {
	case d.Label != Ephemeral:
		return "on disks without the label " + Ephemeral
	case d.Reason == "":
		return "without a reason"
	}
	return ""
}

// covers reports whether a rule matches every disk that other matches, as far as can be seen from their texts.
func (d DiskRule) covers(other DiskRule) bool {
	within := func(wide, narrow string) bool { return wide == "" || wide == narrow }
	return within(d.Target, other.Target) && within(d.Serial, other.Serial) && within(d.Label, other.Label) &&
		(within(d.Domain, other.Domain) || d.Domain == "*")
}

func (r *policyReader) pattern(into *string) reading {
	return func(what string, n ast.Node) error {
		if err := r.text(into)(what, n); err != nil {
			return err
		}
		if _, err := path.Match(*into, ""); err != nil {
			return r.at(n, "for example build-* or vm[0-9]", "%s is not a shell pattern: %q", what, *into)
		}
		return nil
	}
}

func (r *policyReader) evidence(what string, n ast.Node) error {
	e := &r.policy.Evidence
	var trials, cuts int64
	err := r.mapping(what, n, []field{
		{"trials", r.whole(&trials, 0, 1000), false},
		{"missing_trials", r.ratio(&e.MissingTrials, 0.99), false},
		{"crash_points", r.whole(&e.CrashPoints, 0, math.MaxInt32), false},
		{"live_cuts", r.whole(&cuts, 0, 100000), false},
		{"max_age", r.age(&e.MaxAge), false},
		{"same", r.words(&e.Same, sameFacts()), false},
	})
	e.Trials, e.LiveCuts = int(trials), int(cuts)
	return err
}

// ageText is an age: days or hours.
var ageText = regexp.MustCompile(`^([1-9][0-9]{0,3})([dh])$`)

func (r *policyReader) age(into *time.Duration) reading {
	return func(what string, n ast.Node) error {
		text, _ := scalarText(n)
		m := ageText.FindStringSubmatch(text)
		if m == nil {
			return r.at(n, "for example 30d or 12h", "%s should be a number of days or hours", what)
		}
		count, _ := strconv.Atoi(m[1]) // at most four digits
		unit := time.Hour
		if m[2] == "d" {
			unit = 24 * time.Hour
		}
		if *into = time.Duration(count) * unit; *into > maxAge {
			return r.at(n, "leave it out for any age", "%s is more than ten years", what)
		}
		return nil
	}
}

// ratioText is a percentage, and a plain number.
var ratioText, numberText = regexp.MustCompile(`^([0-9]{1,4}(?:\.[0-9]{1,6})?) ?%$`), regexp.MustCompile(`^[0-9]{1,10}(?:\.[0-9]{1,9})?$`)

// ratio reads 5% or 0.05, from 0 to limit.
func (r *policyReader) ratio(into *float64, limit float64) reading {
	return func(what string, n ast.Node) error {
		text, _ := scalarText(n)
		percent := ratioText.FindStringSubmatch(text)
		var v float64
		switch {
		case percent != nil:
			v, _ = strconv.ParseFloat(percent[1], 64) // the pattern is a number
			v /= 100
		case numberText.MatchString(text):
			v, _ = strconv.ParseFloat(text, 64)
			if v >= 1 {
				return r.at(n, "write "+text+"% if that is meant", "%s is %s, which is all of it or more", what, text)
			}
		default:
			return r.at(n, "for example 5%", "%s should be a percentage", what)
		}
		if v > limit {
			return r.at(n, "", "%s is %s and may be %g%%", what, text, limit*100)
		}
		*into = v
		return nil
	}
}

// number reads a plain number from 0 to limit.
func (r *policyReader) number(into *float64, limit float64) reading {
	return func(what string, n ast.Node) error {
		text, _ := scalarText(n)
		v, err := strconv.ParseFloat(text, 64)
		if !numberText.MatchString(text) || err != nil || v > limit {
			return r.at(n, "", "%s should be a number from 0 to %.0f", what, limit)
		}
		*into = v
		return nil
	}
}
