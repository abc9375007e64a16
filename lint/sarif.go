package lint

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// Failure is a file that could not be judged.
type Failure struct {
	File    string `json:"file"`
	Message string `json:"message"` // with the file and the place, where there is one
}

// WriteSARIF writes findings as SARIF 2.1.0, the format that code hosts show beside the lines of a pull request. Version is
// the tool's. Files are named relative to the directory root (absolute), where they lie below it; failures become
// notifications, and the invocation then counts as unsuccessful.
func WriteSARIF(w io.Writer, version, root string, findings []Finding, failures []Failure) error {
	log := sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0",
		Runs: []sarifRun{{
			Tool:       sarifTool{sarifDriver{Name: "platter", Version: version, Rules: sarifRules()}},
			ColumnKind: "unicodeCodePoints",
			Results:    []sarifResult{},
		}},
	}
	run := &log.Runs[0]
	rules := Rules()
	for _, f := range findings {
		run.Results = append(run.Results, sarifResult{
			RuleID: f.Rule, RuleIndex: slices.IndexFunc(rules, func(r Rule) bool { return r.ID == f.Rule }),
			Level: f.Level, Message: sarifText{f.Message},
			Locations: []sarifLocation{{Physical: sarifPhysical{
				Artifact: artifact(root, f.File), Region: &sarifRegion{f.Line, f.Column},
			}}},
		})
	}
	invocation := sarifInvocation{Successful: len(failures) == 0}
	for _, f := range failures {
		invocation.Notifications = append(invocation.Notifications, sarifNotification{
			Level: LevelError, Message: sarifText{f.Message},
			Locations: []sarifLocation{{Physical: sarifPhysical{Artifact: artifact(root, f.File)}}},
		})
	}
	run.Invocations = []sarifInvocation{invocation}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(log); err != nil {
		return fmt.Errorf("write SARIF: %w", err)
	}
	return nil
}

func sarifRules() []sarifRule {
	var rules []sarifRule
	for _, r := range Rules() {
		rules = append(rules, sarifRule{
			ID: r.ID, Short: sarifText{r.Title}, Full: sarifText{r.Title + ". " + r.Help},
			Help: sarifText{r.Help + "\n\nSource: " + r.Source}, Configuration: sarifConfiguration{r.Level},
		})
	}
	return rules
}

// artifact names a file as a URI: relative to root, as code hosts want it, or absolute where it lies elsewhere.
func artifact(root, file string) sarifArtifact {
	abs := file
	if !filepath.IsAbs(abs) {
		abs = filepath.Join(root, file)
	}
	rel, err := filepath.Rel(root, abs)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return sarifArtifact{URI: (&url.URL{Scheme: "file", Path: abs}).String()}
	}
	return sarifArtifact{URI: strings.TrimPrefix((&url.URL{Path: rel}).String(), "./"), Base: "%SRCROOT%"}
}

// The parts of SARIF 2.1.0 that are written, in the words of its schema.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		ColumnKind  string            `json:"columnKind"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID            string             `json:"id"`
		Short         sarifText          `json:"shortDescription"`
		Full          sarifText          `json:"fullDescription"`
		Help          sarifText          `json:"help"`
		Configuration sarifConfiguration `json:"defaultConfiguration"`
	}
	sarifConfiguration struct {
		Level string `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI  string `json:"uri"`
		Base string `json:"uriBaseId,omitempty"`
	}
	sarifRegion struct {
		Line   int `json:"startLine"`
		Column int `json:"startColumn"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
)
