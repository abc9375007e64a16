package matrices

import (
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"platter/cell"
	"platter/strictyaml"
)

// builtInHelp is what fio 3.33 says of its options, asked as the guest's fio is (orchestrator/guest/fio-help.sh).
//
//go:embed fio-help.txt
var builtInHelp []byte

// Fio is a version of fio, as far as a matrix may have its options. The zero value has none.
type Fio struct {
	Version string // "3.33"
	from    string // where the list is from: the end of a sentence "there is no fio.x in fio 3.33, …"
	options []fioOption
}

// BuiltInFio returns the fio whose options come with platter, for planning where there is no guest to ask. Why is why the guest's was not
// asked, for messages.
func BuiltInFio(why string) *Fio {
	f, err := ReadFio(builtInHelp)
	if err != nil {
		panic(fmt.Sprintf("the built-in list of fio's options: %v", err)) // it is a part of the program, and tested
	}
	f.from = "whose list comes with platter: " + why
	return f
}

// noGuest is why the built-in list is asked where nobody looked for a guest.
const noGuest = "no guest's fio was asked"

// fioOption is one option of fio, as its own --cmdhelp and --enghelp describe it.
type fioOption struct {
	name    string
	kind    string // bool, flag (bool or empty), int, time, size, floats, ranges or text
	min     int64  // of an int; meant only when bounded
	max     int64
	bounded bool
	alias   string   // another name of it
	engines []string // the engines that have it; nil when it belongs to fio itself
	choices []string // what the value, or its part before the first colon, may be; nil when fio does not list it
}

// maxHelp is how much help is read; fio 3.41 has 61 KB.
const maxHelp = 4 << 20

// ReadFio reads what the guest's fio said of its options: its --version, then for each a line "[option NAME]" or "[engine ENGINE NAME]"
// and the answer to --cmdhelp=NAME or --enghelp=ENGINE,NAME. The error says at which line it is something else.
func ReadFio(help []byte) (*Fio, error) {
	if len(help) > maxHelp {
		return nil, fmt.Errorf("%d bytes are more than fio has options for", len(help))
	}
	f := &Fio{from: "which is the guest's"}
	at := map[string]int{} // in options
	var current *fioOption // that the lines are about; one that is not kept, where another engine has it as well
	n, choosing := 0, false
	for line := range strings.Lines(string(help)) {
		line = strings.TrimSpace(line)
		if n++; n == 1 {
			version, ok := strings.CutPrefix(line, "fio-")
			if !ok || version == "" || len(version) > 40 || !settingName.MatchString(version) {
				return nil, fmt.Errorf("line 1 is %.40q and no version of fio", line)
			}
			f.Version = version
			continue
		}
		if strings.HasPrefix(line, "[") {
			o, err := readHeading(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			current, choosing = &o, false
			switch i, known := at[o.name]; {
			case o.name == "": // an engine, whose options follow
			case !known:
				at[o.name] = len(f.options)
				f.options = append(f.options, o)
				current = &f.options[len(f.options)-1]
			case o.engines != nil && f.options[i].engines != nil:
				f.options[i].engines = append(f.options[i].engines, o.engines...)
			case o.engines == nil:
				return nil, fmt.Errorf("line %d: the option %s stands there twice", n, o.name)
			}
			continue
		}
		if current == nil && line != "" {
			return nil, fmt.Errorf("line %d is %.40q and belongs to no option", n, line)
		}
		if key, text, ok := strings.Cut(line, ":"); ok {
			choosing = choosing && key == "" || key == "valid values"
			current.describe(strings.TrimSpace(key), strings.TrimSpace(text), choosing)
		}
	}
	if len(f.options) == 0 {
		return nil, errors.New("it has no option")
	}
	return f, nil
}

// readHeading reads "[option NAME]", "[engine ENGINE NAME]", or "[engine ENGINE]", which has no name.
func readHeading(line string) (fioOption, error) {
	words := strings.Fields(strings.Trim(line, "[]"))
	for _, w := range words {
		if !settingName.MatchString(w) {
			return fioOption{}, fmt.Errorf("%.40q is no heading of an option", line)
		}
	}
	switch {
	case len(words) == 2 && words[0] == "option":
		return fioOption{name: words[1], kind: "text"}, nil
	case len(words) == 2 && words[0] == "engine":
		return fioOption{}, nil
	case len(words) == 3 && words[0] == "engine":
		return fioOption{name: words[2], kind: "text", engines: []string{words[1]}}, nil
	}
	return fioOption{}, fmt.Errorf("%.40q is no heading of an option", line)
}

// describe takes one "key: text" of fio's help; choosing is true in the list of valid values.
func (o *fioOption) describe(key, text string, choosing bool) {
	switch {
	case choosing:
		if words := strings.Fields(text); len(words) > 0 {
			o.choices = append(o.choices, words[0])
		}
	case key == "type":
		o.kind = kindOf(text)
	case key == "alias" && settingName.MatchString(text):
		o.alias = text
	case key == "range" && o.kind == "int":
		least, most, _ := strings.Cut(text, ", ")
		n, err := strconv.ParseInt(strings.TrimPrefix(least, "min="), 10, 64)
		if err != nil {
			return // fio prints fractions for its floats
		}
		o.min, o.max, o.bounded = n, math.MaxInt64, true
		if n, err := strconv.ParseInt(strings.TrimPrefix(most, "max="), 10, 64); err == nil && n != -1 {
			o.max = n
		}
	}
}

// kindOf returns the kind of an option that fio describes so.
func kindOf(described string) string {
	for _, k := range [][2]string{
		{"boolean value", "bool"}, {"empty or boolean", "flag"}, {"integer value", "int"}, {"string with time postfix", "time"},
		{"list of floating", "floats"}, {"one to three ranges", "ranges"}, {"(null)", "size"},
	} {
		if strings.HasPrefix(described, k[0]) {
			return k[1]
		}
	}
	return "text"
}

func fioNamespace(f *Fio) namespace {
	n := namespace{prefix: "fio", advice: "fio --cmdhelp=all lists the options", owner: " in fio " + f.Version + ", " + f.from}
	instead := map[string]string{}
	byName := map[string]fioOption{}
	for _, o := range f.options {
		n.names = append(n.names, o.name)
		byName[o.name] = o
		if o.alias != "" {
			instead[o.alias] = o.name
		}
	}
	n.other = func(name string) (string, bool) { other, is := instead[name]; return other, is }
	n.value = func(name string, value cell.Value) *problem { return byName[name].check(value) }
	n.schema = func(name string) schema { return byName[name].schema() }
	n.normal = func(_ string, value cell.Value) cell.Value {
		if text, ok := value.V.(string); ok {
			value.V = cell.FioSpelling(text)
		}
		return value
	}
	return n
}

// check says what is wrong with a value: first what would be wrong with it for any option, then for this one.
func (o fioOption) check(value cell.Value) *problem {
	text := value.String()
	if _, is := value.V.(bool); is {
		return problemf("fio.%s cannot be %s: fio does not know true and false", o.name, text).withHint("write 1 or 0")
	}
	if p := checkFioText(o.name, text); p != nil {
		return p
	}
	if p := o.checkKind(text); p != nil {
		return problemf("fio.%s cannot be %s", o.name, p.message).withHint("%s", p.hint)
	}
	return o.checkChoice(text)
}

// fioValue is what any value of a fio option may be, as far as a pattern can say it.
const fioValue = `^[A-Za-z0-9_.,:/%+=-]([A-Za-z0-9 _.,:/%+=-]{0,198}[A-Za-z0-9_.,:/%+=-])?$`

// fioNumber is a whole number as fio and this package read it.
const fioNumber = `[0-9]+([KMGTPkmgtp]?[Bb]?|[KMGTP]iB)`

// schema says as much of check as editors can use.
func (o fioOption) schema() schema {
	numeric := []string{"integer", "string"}
	switch o.kind {
	case "bool", "flag":
		return schema{"enum": []any{0, 1, "0", "1"}}
	case "time":
		return schema{"type": numeric, "minimum": 0, "pattern": cell.FioTimePattern}
	case "size":
		return schema{"type": numeric, "minimum": 0, "pattern": "^" + fioNumber + "$"}
	case "int":
		return o.intSchema()
	}
	if o.choices != nil {
		return o.choiceSchema()
	}
	return schema{"type": []string{"string", "number"}, "pattern": fioValue}
}

func (o fioOption) intSchema() schema {
	s := schema{"type": []string{"integer", "string"}, "pattern": "^-?" + fioNumber + "$"}
	if slices.Contains(perDirection(), o.name) {
		one := "(" + fioNumber + ")?"
		s["pattern"] = "^" + fioNumber + "$|^" + one + "," + one + "(," + one + ")?$"
	}
	if o.bounded {
		s["minimum"] = o.min
		if o.max < math.MaxInt64 {
			s["maximum"] = o.max
		}
	}
	return s
}

// choiceSchema lists the choices, and takes what some of them have behind a colon.
func (o fioOption) choiceSchema() schema {
	var words []any
	for _, c := range o.choices {
		words = append(words, c)
		if n, ok := number(c).V.(int64); ok {
			words = append(words, n)
		}
	}
	return schema{"anyOf": []schema{{"enum": words}, {"type": "string", "pattern": "^(" + strings.Join(o.choices, "|") +
		"):[A-Za-z0-9 _.,:/%+=-]+$"}}}
}

// checkFioText refuses what a job file would not carry to fio as it stands, or what would carry more than a value.
func checkFioText(name, text string) *problem {
	switch {
	case text == "" || text != strings.TrimSpace(text):
		return problemf("fio.%s cannot be %q: fio drops empty values and outer blanks", name,
			text).withHint("write the value without blanks around it")
	case len(text) > 200:
		return problemf("the value of fio.%s has %d characters; it may have 200", name, len(text))
	}
	for _, r := range text {
		if why := refusedCharacter(r); why != "" {
			return problemf("fio.%s cannot have %q in its value: %s", name, r,
				why).withHint("write the value in letters, digits and _ . , : / %% + = - alone")
		}
	}
	return nil
}

// refusedCharacter says why a character may not stand in a value (fio HOWTO, "Job file format" and "Reserved
// keywords"; fio's parse.c cuts a line at ; and #).
func refusedCharacter(r rune) string {
	switch {
	case r == '$':
		return "fio replaces keywords and environment variables, and calculates with bc in a shell"
	case strings.ContainsRune("`|&<>\\", r):
		return "a shell would read it"
	case r == ';' || r == '#':
		return "fio takes the rest of the line for a comment"
	case r == '\'' || r == '"':
		return "fio reads a file whose name stands in quotes"
	case r == '\n' || r == '\r':
		return "a new line would be a new option"
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(" _.,:/%+=-", r):
		return ""
	}
	return "no fio value needs it"
}

// checkKind gives a problem whose message is the end of a sentence that begins "fio.NAME cannot be".
func (o fioOption) checkKind(text string) *problem {
	switch o.kind {
	case "bool", "flag":
		if text != "0" && text != "1" {
			return problemf("%q", text).withHint("write 1 or 0")
		}
	case "time":
		if _, err := cell.ParseFioTime(text); err != nil {
			return unreadable(err)
		}
	case "size":
		if _, err := cell.ParseFioSize(text); err != nil {
			return unreadable(err)
		}
	case "int":
		return o.checkInt(text)
	}
	return nil
}

// perDirection are the whole numbers that fio takes three of, for reads, writes and trims.
func perDirection() []string {
	return []string{"bs", "ba", "rate", "rate_min", "rate_iops", "rate_iops_min"}
}

func (o fioOption) checkInt(text string) *problem {
	parts := []string{text}
	if slices.Contains(perDirection(), o.name) {
		parts = strings.Split(text, ",")
	}
	if len(parts) > 3 {
		return problemf("%q: there are three directions, read, write and trim", text)
	}
	for _, part := range parts {
		if part == "" && len(parts) > 1 {
			continue
		}
		if p := o.checkOneInt(part); p != nil {
			return p
		}
	}
	return nil
}

func (o fioOption) checkOneInt(text string) *problem {
	n, negative := strings.CutPrefix(text, "-")
	v, err := cell.ParseFioSize(n)
	if err != nil {
		return problemf("%q", text).withHint("write a whole number")
	}
	if negative {
		v = -v
	}
	if o.bounded && (v < o.min || v > o.max) {
		return problemf("%q", text).withHint("fio takes %s", o.bounds())
	}
	return nil
}

func (o fioOption) bounds() string {
	if o.max == math.MaxInt64 {
		return "whole numbers from " + strconv.FormatInt(o.min, 10)
	}
	return "whole numbers from " + strconv.FormatInt(o.min, 10) + " to " + strconv.FormatInt(o.max, 10)
}

func (o fioOption) checkChoice(text string) *problem {
	word, _, _ := strings.Cut(text, ":")
	if o.choices == nil || slices.Contains(o.choices, word) {
		return nil
	}
	all := "its values are " + strings.Join(o.choices, ", ")
	if near, ok := strictyaml.Nearest(word, o.choices); ok {
		all = `did you mean "` + near + `"? ` + all
	}
	return problemf("fio.%s cannot be %q", o.name, text).withHint("%s", all)
}
