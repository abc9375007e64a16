package matrices

import (
	"regexp"
	"slices"
	"strings"

	"platter/cell"
	"platter/strictyaml"
)

// Limits and defaults of a matrix.
const (
	// DefaultTrials is how often each cell is measured when the file does not say.
	DefaultTrials = 10

	maxTrials = 1000
	maxCells  = 10000
	maxVCPUs  = 255 // of a q35 machine without an IOMMU

	sectionMultiple = 4096 // of the sizes of disk and memory, in bytes

	defaultSizeBytes   = 2 << 30
	defaultMemoryBytes = 1 << 30
	defaultVCPUs       = 2
)

// Parse reads a matrix file. File is its name for messages. Every error is a *strictyaml.Error and says where; the first one
// found is given. The options of fio that it may have are those of the built-in list.
func Parse(file string, text []byte) (*Matrix, error) {
	return BuiltInFio(noGuest).Parse(file, text)
}

// ParseCells is Parse, and returns the matrix's Cells, too: they are worked out to be checked, and need not be once more.
func ParseCells(file string, text []byte) (*Matrix, []cell.Cell, error) {
	return BuiltInFio(noGuest).parseCells(file, text)
}

// Parse reads a matrix file as the function Parse does; the options of fio that it may have are f's.
func (f *Fio) Parse(file string, text []byte) (*Matrix, error) {
	m, _, err := f.parseCells(file, text)
	return m, err
}

func (f *Fio) parseCells(file string, text []byte) (*Matrix, []cell.Cell, error) {
	src, root, err := readYAML(file, text)
	if err != nil {
		return nil, nil, err
	}
	r := reader{
		source: src, vocabulary: newVocabulary(f), places: map[string]strictyaml.Position{},
		matrix: &Matrix{
			Fixed: cell.Settings{
				{Name: "storage.type", Value: cell.Value{V: "file"}},
				{Name: "storage.format", Value: cell.Value{V: "raw"}},
				{Name: "storage.size", Value: cell.Value{V: int64(defaultSizeBytes)}},
				{Name: "storage.preallocation", Value: cell.Value{V: "off"}},
				{Name: "guest.memory", Value: cell.Value{V: int64(defaultMemoryBytes)}},
				{Name: "guest.vcpus", Value: cell.Value{V: int64(defaultVCPUs)}},
				{Name: "guest.filesystem", Value: cell.Value{V: cell.RawDevice}},
				{Name: "guest.barrier", Value: cell.Value{V: "on"}},
				{Name: "guest.write_cache", Value: cell.Value{V: cell.AsDevice}},
				{Name: "guest.cache_type", Value: cell.Value{V: cell.AsDevice}},
			},
			Trials: DefaultTrials, File: file, Text: string(text), fio: f,
		},
	}
	if err := r.read(root); err != nil {
		return nil, nil, err
	}
	cells := r.matrix.cells(r.vocabulary)
	if err := r.checkCells(cells); err != nil {
		return nil, nil, err
	}
	return r.matrix, cells, nil
}

// reader fills a matrix from the nodes of its file. Its methods give a *strictyaml.Error with the place, or nil.
type reader struct {
	source
	vocabulary
	matrix *Matrix
	places map[string]strictyaml.Position // where a section, a setting ("fio.bs") or what a value of an axis sets (valuePlace) stands
}

// wholeMatrix is what the top of the file is called in messages.
const wholeMatrix = "the matrix"

const atLeast = "a matrix has at least name, axes and fio or workload"

// section is a key of a mapping with what reads its value.
type section struct {
	key      string
	read     func(what string, n *node) error // what is the key for messages: "trials", "storage.size"
	required bool
}

func (r *reader) read(root *node) error {
	m := r.matrix
	err := r.sections(wholeMatrix, root, []section{
		{"name", r.name, true},
		{"description", r.line(&m.Description), false},
		{"banner", r.line(&m.Banner), false},
		{"axes", r.axes, true},
		{"storage", r.storage, false},
		{"guest", r.guest, false},
		{"device", r.device, false},
		{"host", r.host, false},
		{"workload", r.workload, false},
		{"fio", r.fio, false},
		{"exclude", r.exclusions, false},
		{"trials", r.whole(&m.Trials, 1, maxTrials), false},
		{"safety", r.safety, false},
	})
	if err != nil {
		return err
	}
	if len(m.Fio) == 0 {
		return r.at(root.pos, problemf("the matrix has neither workload nor fio").withHint("%s", atLeast))
	}
	return nil
}

// sections reads a mapping: unknown keys are refused first, then the sections are read in the order given here, so that
// one may build on another.
func (r *reader) sections(what string, n *node, sections []section) error {
	if n.kind != mapping {
		return r.at(n.pos, problemf("%s is %s and should be a mapping", what, n.kind).withHint("write key: value"))
	}
	var keys []string
	for _, s := range sections {
		keys = append(keys, s.key)
	}
	for _, e := range n.entries {
		if !slices.Contains(keys, e.key) {
			return r.at(e.pos, problemf("%s has no %q", what, e.key).
				withHint("%s", strictyaml.DidYouMean(e.key, keys, "it has "+strings.Join(keys, ", "))))
		}
		if e.kind == null {
			return r.at(e.pos, problemf("%q has no value", e.key).withHint("give it one, or remove the line"))
		}
	}
	for _, s := range sections {
		if err := r.section(what, n, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) section(what string, n *node, s section) error {
	i := slices.IndexFunc(n.entries, func(e *entry) bool { return e.key == s.key })
	if i >= 0 {
		full := qualified(what, s.key)
		r.places[full] = n.entries[i].pos
		return s.read(full, n.entries[i].node)
	}
	if s.required {
		return r.at(n.pos, problemf("%s has no %s", what, s.key).withHint("%s", atLeast))
	}
	return nil
}

// qualified names a key below a section: "storage.size".
func qualified(what, key string) string {
	if what == wholeMatrix {
		return key
	}
	return what + "." + key
}

// matrixName is what may stand in the name of a run directory.
var matrixName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func (r *reader) name(what string, n *node) error {
	if err := r.line(&r.matrix.Name)(what, n); err != nil {
		return err
	}
	if !matrixName.MatchString(r.matrix.Name) {
		return r.at(n.pos, problemf("the name %q cannot be part of a directory's name", r.matrix.Name).
			withHint("write at most 64 lower-case letters, digits and dashes, for example cache-modes"))
	}
	return nil
}

// maxLine is how many bytes a description or banner may have.
const maxLine = 300

// line reads one line of text.
func (r *reader) line(into *string) func(string, *node) error {
	return func(what string, n *node) error {
		text, ok := n.value.V.(string)
		switch {
		case n.kind != scalar || !ok:
			return r.at(n.pos, problemf("%s should be text", what).withHint("put it in quotes"))
		case len(text) > maxLine:
			return r.at(n.pos, problemf("%s is %d bytes long; it may have %d", what, len(text), maxLine))
		case !printable(text):
			return r.at(n.pos, problemf("%s should be one line of printable text", what).withHint("remove line breaks and control characters"))
		}
		*into = strings.TrimSpace(text)
		return nil
	}
}

// whole reads a whole number from low to high.
func (r *reader) whole(into *int, low, high int64) func(string, *node) error {
	return func(what string, n *node) error {
		v, ok := n.value.V.(int64)
		if n.kind != scalar || !ok || v < low || v > high {
			return r.at(n.pos, problemf("%s should be a whole number from %d to %d", what, low, high))
		}
		*into = int(v)
		return nil
	}
}

func (r *reader) storage(what string, n *node) error {
	var kind string
	var size int64
	err := r.sections(what, n, append([]section{
		{"type", r.oneOf(&kind, "file"), false},
		{"size", r.bytes(&size), false},
	}, r.fixed("storage")...))
	if size > 0 {
		r.matrix.Fixed = r.matrix.Fixed.With("storage.size", cell.Value{V: size})
	}
	return err
}

func (r *reader) guest(what string, n *node) error { return r.sections(what, n, r.fixed("guest")) }

func (r *reader) device(what string, n *node) error { return r.sections(what, n, r.fixed("device")) }

func (r *reader) host(what string, n *node) error { return r.sections(what, n, r.fixed("host")) }

// fixed are the keys of a section whose settings may be axes instead.
func (r *reader) fixed(prefix string) []section {
	space, _ := r.namespace(prefix)
	sections := make([]section, len(space.names))
	for i, name := range space.names {
		sections[i].key = name
		sections[i].read = func(full string, n *node) error {
			if err := r.checkAxisToo(full, "the section "+prefix, r.places[full]); err != nil {
				return err
			}
			if err := r.setting(full, n); err != nil {
				return err
			}
			r.places[full] = n.pos
			r.matrix.Fixed = r.matrix.Fixed.With(full, r.normal(full, n.value))
			return nil
		}
	}
	return sections
}

// oneOf reads one of some words.
func (r *reader) oneOf(into *string, words ...string) func(string, *node) error {
	return func(what string, n *node) error {
		if n.kind != scalar || !slices.Contains(words, n.value.String()) {
			return r.at(n.pos, problemf("%s should be one of: %s", what, strings.Join(words, ", ")))
		}
		*into = n.value.String()
		return nil
	}
}

// bytes reads a size, a positive multiple of sectionMultiple.
func (r *reader) bytes(into *int64) func(string, *node) error {
	return func(what string, n *node) error {
		if n.kind != scalar {
			return r.at(n.pos, problemf("%s should be a size", what).withHint("for example 2GiB"))
		}
		size, p := checkBytes(what, n.value, sectionMultiple)
		if p != nil {
			return r.at(n.pos, p)
		}
		*into = size
		return nil
	}
}

// setting checks the value of a setting whose name is known.
func (r *reader) setting(full string, n *node) error {
	if n.kind != scalar {
		return r.at(n.pos, problemf("a value of %s is %s and should be a single value", full, n.kind).withHint("write text or a number"))
	}
	if p := r.checkValue(full, n.value); p != nil {
		return r.at(n.pos, p)
	}
	return nil
}

// fio reads the options of the base workload and lays them over those of the named one.
func (r *reader) fio(_ string, n *node) error {
	if n.kind != mapping || len(n.entries) == 0 {
		return r.at(n.pos, problemf("fio should be a mapping of fio's options").withHint("for example {rw: randwrite, bs: 4k, runtime: 10}"))
	}
	for _, e := range n.entries {
		full := "fio." + e.key
		if p := r.checkName(full); p != nil {
			return r.at(e.pos, p)
		}
		if err := r.checkAxisToo(full, "the base workload", e.pos); err != nil {
			return err
		}
		if err := r.setting(full, e.node); err != nil {
			return err
		}
		r.places[full] = e.node.pos
		r.matrix.Fio = r.matrix.Fio.With(e.key, e.value)
	}
	return nil
}

func (r *reader) exclusions(_ string, n *node) error {
	if n.kind != list {
		return r.at(n.pos, problemf("exclude is %s and should be a list", n.kind).withHint("for example [{disk.cache: unsafe, fio.fsync: 0}]"))
	}
	for _, item := range n.items {
		pattern, err := r.exclusion(item)
		if err != nil {
			return err
		}
		r.matrix.Exclude = append(r.matrix.Exclude, pattern)
	}
	return nil
}

func (r *reader) exclusion(n *node) (cell.Settings, error) {
	if n.kind != mapping || len(n.entries) == 0 {
		return nil, r.at(n.pos,
			problemf("an exclusion is a mapping of axes to values").withHint("for example {disk.cache: unsafe, fio.fsync: 0}"))
	}
	var pattern cell.Settings
	for _, e := range n.entries {
		i := slices.IndexFunc(r.matrix.Axes, func(a Axis) bool { return a.Name == e.key })
		if i < 0 {
			return nil, r.at(e.pos, problemf("the matrix has no axis %q to exclude from", e.key).withHint("%s", r.axesHint(e.key)))
		}
		if e.kind != scalar || !slices.ContainsFunc(r.matrix.Axes[i].Values, e.value.Equal) {
			return nil, r.at(e.node.pos, problemf("the axis %s does not have this value", e.key).withHint("its values are %s",
				joined(r.matrix.Axes[i].Values)))
		}
		pattern = append(pattern, cell.Setting{Name: e.key, Value: e.value})
	}
	return pattern, nil
}

func (r *reader) axesHint(key string) string {
	var names []string
	for _, a := range r.matrix.Axes {
		names = append(names, a.Name)
	}
	return strictyaml.DidYouMean(key, names, "its axes are "+strings.Join(names, ", "))
}

func joined(values []cell.Value) string {
	var all []string
	for _, v := range values {
		all = append(all, v.String())
	}
	return strings.Join(all, ", ")
}

// checkCells applies the rules that refuse a matrix for one of its cells, and wants one cell that is measured.
func (r *reader) checkCells(cells []cell.Cell) error {
	if !slices.ContainsFunc(cells, func(c cell.Cell) bool { return c.Excluded == "" }) {
		return r.at(r.places["axes"], problemf("every cell is excluded, the first one because: %s", cells[0].Excluded).
			withHint("change the axes, or the exclusions"))
	}
	for _, c := range cells {
		if c.Excluded != "" {
			continue
		}
		if err := r.refusal(c); err != nil {
			return err
		}
	}
	return r.checkSafety(cells)
}

func (r *reader) refusal(c cell.Cell) error {
	for _, rule := range r.rules {
		if rule.cell != nil && rule.effect == refuse && rule.cell(c) {
			return r.at(r.placeOf(rule, c), problemf("%s (cell %s)", rule.reason, c.ID).withHint("%s", rule.hint))
		}
	}
	return nil
}

// placeOf is where the setting stands that a rule points at: the value in the axis, else the one in its section, else the
// whole workload: the fio section, or the name of the workload where there is none.
func (r *reader) placeOf(rule rule, c cell.Cell) strictyaml.Position {
	if len(rule.settings) > 0 {
		full := rule.settings[0]
		for _, s := range c.Axes {
			if pos, ok := r.places[valuePlace(s.Name, s.Value, full)]; ok {
				return pos
			}
		}
		if pos, ok := r.places[full]; ok {
			return pos
		}
	}
	if pos, ok := r.places["fio"]; ok {
		return pos
	}
	return r.places["workload"]
}
