package claims

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"platter/strictyaml"

	"github.com/goccy/go-yaml"
)

// hypothesis is a claim as claims.yaml has it; the words are explained there.
type hypothesis struct {
	Name   string
	Text   string
	Kind   string // safety, performance or both
	Over   string // its cells, in words
	Cells  selector
	Safety []safetyCheck
	Speed  []speedCheck
}

// safetyCheck is one thing that must hold of safety records. Exactly one of Promises, Unpromised, Exposure and Safer is there.
type safetyCheck struct {
	Of         selector
	After      []string // failure classes
	Behind     []string // drive caches; all when it is empty
	Promises   string   // kept or lost
	Unpromised string   // kept or lost
	By         string   // the setting of Exposure and Safer
	Exposure   string   // rising
	Safer      string   // a chain of values
	With       selector // of Safer: such cells must be among them, or it says nothing
}

// speedCheck is one thing that must hold of trials.
type speedCheck struct {
	Of     selector
	By     string
	Faster string // a chain of values, or rising
}

const rising = "rising"

// What becomes of promised, or of unpromised, writes.
const (
	kept = "kept"
	lost = "lost"
)

//go:embed claims.yaml
var claimsYAML []byte

// hypotheses reads the built-in file, which a test has read.
func hypotheses() []hypothesis {
	all, err := readHypotheses(claimsYAML)
	if err != nil {
		panic(fmt.Sprintf("read the claims: %v", err))
	}
	return all
}

// yamlKind is the kind of file that claims are.
var yamlKind = strictyaml.Kind{Name: "file of claims", Least: "a claim has at least name, text, over and kind",
	Bytes: 256 << 10, Tokens: 10000, Depth: 12}

// readHypotheses reads a file of claims; an error names the claim.
func readHypotheses(text []byte) ([]hypothesis, error) {
	var all []hypothesis
	_, root, err := yamlKind.Read("claims.yaml", text)
	if err != nil {
		return nil, err
	}
	if err := yaml.NodeToValue(root, &all, yaml.Strict()); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, h := range all {
		if err := h.check(); err != nil {
			return nil, fmt.Errorf("claim %q: %w", h.Name, err)
		}
		if seen[h.Name] {
			return nil, fmt.Errorf("claim %q is there twice", h.Name)
		}
		seen[h.Name] = true
	}
	return all, nil
}

func (h hypothesis) check() error {
	known := slices.Contains([]string{"safety", "performance", "both"}, h.Kind)
	switch {
	case h.Name == "" || h.Text == "" || h.Over == "":
		return fmt.Errorf("name, text or over is missing")
	case !known:
		return fmt.Errorf("kind %q is none of safety, performance and both", h.Kind)
	case (h.Kind != "performance") != (len(h.Safety) > 0) || (h.Kind != "safety") != (len(h.Speed) > 0):
		return fmt.Errorf("its kind is %s, and it has %d checks of safety and %d of speed", h.Kind, len(h.Safety), len(h.Speed))
	}
	for _, c := range h.Safety {
		if err := c.check(); err != nil {
			return err
		}
	}
	for _, c := range h.Speed {
		if err := checkChain(c.By, c.Faster); err != nil {
			return err
		}
	}
	return nil
}

func (c safetyCheck) check() error {
	said := 0
	for _, s := range []string{c.Promises, c.Unpromised, c.Exposure, c.Safer} {
		if s != "" {
			said++
		}
	}
	fate := func(s string) bool { return s == "" || s == kept || s == lost }
	switch {
	case said != 1:
		return fmt.Errorf("a check of safety says one of promises, unpromised, exposure and safer, and not %d", said)
	case len(c.After) == 0:
		return fmt.Errorf("a check of safety says after which failures")
	case !fate(c.Promises) || !fate(c.Unpromised):
		return fmt.Errorf("promised and unpromised writes are kept or lost")
	case c.Exposure != "" && (c.Exposure != rising || c.By == ""):
		return fmt.Errorf("an exposure is rising by a setting")
	case c.Safer != "":
		return checkChain(c.By, c.Safer)
	}
	return nil
}

func checkChain(by, text string) error {
	if by == "" {
		return fmt.Errorf("%q is said of no setting", text)
	}
	if text == rising {
		return nil
	}
	if len(chain(text)) == 0 {
		return fmt.Errorf("%q is no chain like a = b > c", text)
	}
	return nil
}

// relation is what a chain says of two values.
type relation string

const (
	above    relation = ">"
	equal    relation = "="
	notBelow relation = "≥"
)

// link is one relation of a chain.
type link struct {
	left     string
	relation relation
	right    string
}

// chain takes "a = b > c" apart.
func chain(text string) []link {
	words := strings.Fields(text)
	var links []link
	for i := 1; i+1 < len(words); i += 2 {
		r := relation(words[i])
		if r != equal && r != above {
			return nil
		}
		links = append(links, link{words[i-1], r, words[i+1]})
	}
	if len(words) != 2*len(links)+1 {
		return nil
	}
	return links
}

// values are the values of a chain, in its order.
func values(links []link) []string {
	all := []string{links[0].left}
	for _, l := range links {
		all = append(all, l.right)
	}
	return all
}
