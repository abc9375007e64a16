package gate

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"platter/text"
)

// junitSuites is what CI systems read of a verdict. Failure is the gate's word, error the rig's, skipped what cannot be measured.
type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string      `xml:"classname,attr"`
	Name    string      `xml:"name,attr"`
	Failure *junitText  `xml:"failure,omitempty"`
	Error   *junitText  `xml:"error,omitempty"`
	Skipped *junitText  `xml:"skipped,omitempty"`
	Output  *junitLines `xml:"system-out,omitempty"`
}

type junitText struct {
	Message string `xml:"message,attr"`
}

type junitLines struct {
	Text string `xml:",chardata"`
}

// JUnit writes the verdict with one test case for the verdict, one for each cell and metric, and one for each cell and failure class. An
// INCONCLUSIVE verdict is an error of its case, so that no report of it is all green.
func (v *Verdict) JUnit(w io.Writer) error {
	all := junitSuites{Suites: []junitSuite{v.verdictSuite(), v.performanceSuite(), v.safetySuite()}}
	for i := range all.Suites {
		all.Suites[i].count()
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) count() {
	s.Tests = len(s.Cases)
	for _, c := range s.Cases {
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		case c.Skipped != nil:
			s.Skipped++
		}
	}
}

func (v *Verdict) verdictSuite() junitSuite {
	c := junitCase{Class: "verdict", Name: "policy " + text.Visible(v.Policy)}
	var lines []string
	for _, r := range v.Reasons {
		lines = append(lines, string(r.Outcome)+" "+r.Text)
	}
	line := text.Visible(strings.Join(lines, "\n"))
	switch v.Outcome {
	case Fail:
		c.Failure = &junitText{line}
	case Pass:
		c.Output = &junitLines{line}
	default:
		c.Error = &junitText{line}
	}
	return junitSuite{Name: "platter verdict", Cases: []junitCase{c}}
}

func (v *Verdict) performanceSuite() junitSuite {
	s := junitSuite{Name: "platter performance"}
	for _, cell := range v.Cells {
		c := junitCase{Class: text.Visible(cell.Cell), Name: cell.Metric}
		figures := fmt.Sprintf("%s → %s, %s (exploratory, adjusted p %s)", value(cell.Metric, cell.Before), value(cell.Metric, cell.After),
			change(cell.Worse), figure(cell.Adjusted))
		switch {
		case cell.Failed:
			c.Failure = &junitText{text.Visible(figures + "; " + v.failedRule(cell))}
		case cell.Error != "":
			c.Error = &junitText{text.Visible(cell.Error)}
		case cell.Skipped != "":
			c.Skipped = &junitText{text.Visible(cell.Skipped)}
		default:
			c.Output = &junitLines{text.Visible(figures)}
		}
		s.Cases = append(s.Cases, c)
	}
	return s
}

// failedRule says which rule failed over a cell.
func (v *Verdict) failedRule(c CellResult) string {
	for _, i := range c.Rules {
		if r := v.Rules[i]; r.Outcome == Fail {
			return r.Rule + ": " + r.Why
		}
	}
	return ""
}

func (v *Verdict) safetySuite() junitSuite {
	s := junitSuite{Name: "platter safety"}
	for _, r := range v.Safety {
		c := junitCase{Class: text.Visible(r.Cell), Name: text.Visible(classText(r))}
		line := text.Visible(strings.TrimSpace(r.Verdict + " " + r.Why))
		switch {
		case r.Outcome == Fail:
			c.Failure = &junitText{line}
		case r.Outcome == Inconclusive:
			c.Error = &junitText{line}
		default:
			c.Output = &junitLines{line}
		}
		s.Cases = append(s.Cases, c)
	}
	return s
}
