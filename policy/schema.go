package policy

import (
	"encoding/json"
	"fmt"

	"platter/cell"
)

// schema is a JSON schema or a part of one.
type schema map[string]any

// Schema is a JSON schema (draft 2020-12) of policy files, for editors that complete and check YAML. It takes every file
// that Parse takes, but not only those: what depends on several settings is Parse's alone.
func Schema() ([]byte, error) {
	text, err := json.MarshalIndent(policySchema(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema of policies: %w", err)
	}
	return append(text, '\n'), nil
}

func policySchema() schema {
	s := section("What a change may cost and what it may risk.", schema{
		"name":        schema{"description": "The name of the policy.", "type": "string", "pattern": policyName.String()},
		"performance": performanceSchema(),
		"safety": section("Broken promises and exposure, by failure class.", schema{
			"classes": wordsSchema("The failure classes that must have been judged.", cell.FailureClasses()),
			"broken_promises": byClassSchema("How many broken promises a class may have; 0 unless it is said.",
				schema{"type": "integer", "minimum": 0}),
			"exposure_ms": byClassSchema("How old, in ms, the oldest write may be that a class takes without a promise broken.",
				schema{"type": "number", "minimum": 0}),
		}),
		"disks": listSchema("Which cache modes are allowed on which disks: the first that matches a disk decides. Without one all but unsafe "+
			"are.", required(section("", schema{
			"target": textSchema("The disk's target, for example vdb."),
			"serial": textSchema("The disk's <serial>."),
			"label":  textSchema("The disk's label in the domain's metadata; unsafe needs ephemeral."),
			"domain": textSchema("A shell pattern of the domain's name."),
			"cache":  wordsSchema("The cache modes that are allowed.", cacheModes()),
			"reason": textSchema("Why; unsafe needs one."),
		}), "cache")),
		"evidence": section("What a verdict must rest on.", schema{
			"trials":         wholeSchema("Trials of each cell and side."),
			"missing_trials": ratioSchema("How large a part of a cell's planned trials may be missing; 0 unless it is said."),
			"crash_points":   wholeSchema("Crash points judged of each cell and class."),
			"live_cuts":      wholeSchema("Live cuts of each cell and class."),
			"max_age":        schema{"description": "How old it may be: days (30d) or hours (12h).", "type": "string", "pattern": ageText.String()},
			"same":           wordsSchema("What must not have changed since.", sameFacts()),
		}),
	})
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", "platter policy"
	return required(s, "name")
}

func performanceSchema() schema {
	return section("How much slower a change may make the disk.", schema{
		"alpha":  ratioSchema("The chance of a false alarm in the whole family of rules; 5% unless it is said."),
		"margin": ratioSchema("The between-run margin that A/A comparisons measured."),
		"looks": listSchema("After how many blocks run --until-decided looks, in rising order.",
			schema{"type": "integer", "minimum": 1, "maximum": 1000}),
		"rules": listSchema("The rules share alpha by Holm's method.", required(section("", schema{
			"metric": schema{"description": "What may get worse.", "enum": metrics()},
			"cells": schema{
				"description": "Axis values that a cell must have; all cells when it is left out.", "type": "object",
				"propertyNames": schema{"pattern": axisName.String()}, "additionalProperties": schema{"type": []string{"string", "number", "boolean"}},
			},
			"regression": ratioSchema("The largest that is allowed."),
			"optional": schema{"description": "on: the rule does not apply where nothing of the kind was done on either side; otherwise that " +
				"is INCONCLUSIVE.", "enum": onOff()},
		}), "metric", "regression")),
	})
}

func section(about string, properties schema) schema {
	s := schema{"type": "object", "additionalProperties": false, "properties": properties}
	if about != "" {
		s["description"] = about
	}
	return s
}

func required(s schema, keys ...string) schema {
	s["required"] = keys
	return s
}

func textSchema(about string) schema {
	return schema{"description": about, "type": []string{"string", "number", "boolean"}, "maxLength": maxPolicyText}
}

func wholeSchema(about string) schema {
	return schema{"description": about, "type": "integer", "minimum": 0}
}

func ratioSchema(about string) schema {
	return schema{"description": about, "anyOf": []schema{
		{"type": "string", "pattern": ratioText.String()}, {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
	}}
}

func listSchema(about string, item schema) schema {
	return schema{"description": about, "type": "array", "minItems": 1, "maxItems": maxRules, "items": item}
}

func wordsSchema(about string, words []string) schema {
	s := listSchema(about, schema{"enum": words})
	s["uniqueItems"] = true
	return s
}

func byClassSchema(about string, value schema) schema {
	properties := schema{}
	for _, class := range cell.FailureClasses() {
		properties[class] = value
	}
	return section(about, properties)
}
