package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// JudgementFile holds the judgement on the change that a run measured.
const JudgementFile = "judgement.json"

// Judgement is what the gate said of a run that measured both sides of a change, when it was made.
type Judgement struct {
	Policy  string   `json:"policy"`
	Outcome string   `json:"outcome"` // PASS, FAIL or INCONCLUSIVE
	Reasons []string `json:"reasons"` // what decided first
}

// Write puts the judgement into a run directory, whole or not at all.
func (j Judgement) Write(dir string) error {
	text, err := json.MarshalIndent(j, "", "  ")
	if err == nil {
		err = writeWhole(osDisk{}, filepath.Join(dir, JudgementFile), append(text, '\n'))
	}
	if err != nil {
		return &Error{Path: filepath.Join(dir, JudgementFile), Message: err.Error()}
	}
	return nil
}

// readJudgement is nil where there is none.
func readJudgement(dir string) (*Judgement, error) {
	path := filepath.Join(dir, JudgementFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, &Error{Path: path, Message: err.Error()}
	}
	j := new(Judgement)
	if err := json.Unmarshal(text, j); err != nil {
		return nil, &Error{Path: path, Fault: Input, Message: fmt.Sprintf("not a judgement: %v", err)}
	}
	return j, nil
}
