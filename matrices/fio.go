package matrices

import (
	_ "embed"
	"math"
	"slices"
	"strconv"
	"strings"

	"platter/cell"
	"platter/strictyaml"
)

// fioOptionsText lists the options of fio 3.33: a line each with the name, the kind, and min=, max=, alias=, engines=
// and choices= where fio has them. Lines with # are comments.
//
//go:embed fio-options.txt
var fioOptionsText string

// fioOption is one option of fio, as its own --cmdhelp and --enghelp describe it.
type fioOption struct {
	name    string
	kind    string // bool, flag (bool or empty), int, time, size, floats, ranges or text
	min     int64  // of an int; meant only when bounded
	max     int64
	bounded bool
	aliases []string
	engines []string // the engines that have it; nil when it belongs to fio itself
	choices []string // what the value, or its part before the first colon, may be; nil when fio does not list it
}

// fioOptions reads the embedded list.
func fioOptions() []fioOption {
	var options []fioOption
	for line := range strings.Lines(fioOptionsText) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] == "#" {
			continue
		}
		o := fioOption{name: words[0], kind: words[1]}
		for _, word := range words[2:] {
			o.set(strings.Cut(word, "="))
		}
		options = append(options, o)
	}
	return options
}

// set takes one "key=value" of a line.
func (o *fioOption) set(key, value string, _ bool) {
	n, _ := strconv.ParseInt(value, 10, 64)
	switch key {
	case "min":
		o.min, o.bounded = n, true
		if o.max == 0 {
			o.max = math.MaxInt64
		}
	case "max":
		o.max = n
	case "alias":
		o.aliases = strings.Split(value, ",")
	case "engines":
		o.engines = strings.Split(value, ",")
	case "choices":
		o.choices = strings.Split(value, ",")
	}
}

func fioNamespace(options []fioOption) namespace {
	n := namespace{prefix: "fio", advice: "fio --cmdhelp=all lists the options"}
	instead := map[string]string{}
	byName := map[string]fioOption{}
	for _, o := range options {
		n.names = append(n.names, o.name)
		byName[o.name] = o
		for _, alias := range o.aliases {
			instead[alias] = o.name
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
