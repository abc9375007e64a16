package matrices

import (
	"encoding/json"
	"fmt"
	"slices"

	"platter/cell"
)

// SchemaFile is what the schema is called in the comment at the top of the built-in matrices.
const SchemaFile = "matrix.schema.json"

// schema is a JSON schema or a part of one.
type schema map[string]any

// Schema is a JSON schema (draft 2020-12) of matrix files, for editors that complete and check YAML. It is made of the same
// vocabulary as Fio.Parse and takes every file that it takes, but not only those: rules over several settings are Parse's alone.
func (f *Fio) Schema() ([]byte, error) {
	v := newVocabulary(f)
	workloads, err := workloadNames()
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(matrixSchema(v, workloads), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema of matrices: %w", err)
	}
	return append(text, '\n'), nil
}

func matrixSchema(v vocabulary, workloads []string) schema {
	storage := sectionSchema(v, "storage", "What the scratch disk is made of. Settings that are axes do not stand here.")
	storage["properties"].(schema)["type"] = schema{"description": "Where the image is: a file of the host.", "enum": []string{"file"}}
	storage["properties"].(schema)["size"] = sizeSchema("How large the scratch disk is; 2GiB unless it is said.", sectionMultiple)
	return schema{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"title":                "platter matrix",
		"description":          "Ways of configuring a virtual disk, each combination of which is measured.",
		"type":                 "object",
		"required":             []string{"name", "axes"},
		"anyOf":                []schema{{"required": []string{"fio"}}, {"required": []string{"workload"}}},
		"additionalProperties": false,
		"properties": schema{
			"name": schema{"description": "The name of the matrix and of its run directories.", "type": "string",
				"pattern": matrixName.String()},
			"description": lineSchema("What the matrix shows, in one line."),
			"banner":      lineSchema("A line that is shown with every output of the run."),
			"storage":     storage,
			"guest":       sectionSchema(v, "guest", "The measuring guest. Settings that are axes do not stand here."),
			"axes":        axesSchema(v),
			"workload": schema{"description": "A workload that comes with platter; fio and the axes may override options of it.",
				"enum": workloads},
			"fio": sectionSchema(v, "fio", "The options of the workload, in fio's spelling. Options that are axes do not stand here."),
			"device": sectionSchema(v, "device",
				"The simulated disk that loses power in crash campaigns. Settings that are axes do not stand here."),
			"host": sectionSchema(v, "host",
				"The machine that runs the guests. Settings that are axes do not stand here."),
			"safety":  safetySchema(),
			"exclude": excludeSchema(v),
			"trials": schema{"description": "How often each cell is measured; 10 unless it is said.", "type": "integer", "minimum": 1,
				"maximum": maxTrials},
		},
		"$defs": settingSchemas(v),
	}
}

func lineSchema(about string) schema {
	return schema{"description": about, "type": "string", "maxLength": maxLine}
}

// sizeSchema is about sizes that parseSize reads.
func sizeSchema(about string, multiple int64) schema {
	return schema{"description": about, "type": []string{"integer", "string"}, "minimum": multiple, "multipleOf": multiple,
		"pattern": cell.SizePattern}
}

// settingSchemas has what the values of each setting may be, under its full name.
func settingSchemas(v vocabulary) schema {
	all := schema{}
	for _, n := range v.namespaces {
		for _, name := range n.names {
			if full := n.prefix + "." + name; v.checkName(full) == nil {
				all[full] = v.withoutRefused(full, n.schema(name))
			}
		}
	}
	return all
}

// withoutRefused takes those words out of the values of a setting that a rule refuses.
func (v vocabulary) withoutRefused(full string, s schema) schema {
	refused := func(word any) bool {
		return slices.ContainsFunc(v.rules, func(r rule) bool { return r.refusesValue(full, cell.Value{V: word}) })
	}
	choices, ok := s["anyOf"].([]schema) // as fioOption.choiceSchema makes it
	if !ok {
		return s
	}
	words := slices.DeleteFunc(choices[0]["enum"].([]any), refused)
	if refused(fmt.Sprint(words[0], ":1")) {
		return schema{"enum": words}
	}
	choices[0]["enum"] = words
	return s
}

// reference points at one of settingSchemas.
func reference(full string) schema { return schema{"$ref": "#/$defs/" + full} }

// sectionSchema is about a section with the settings of a namespace.
func sectionSchema(v vocabulary, prefix, about string) schema {
	space, _ := v.namespace(prefix)
	properties := schema{}
	for _, name := range space.names {
		if full := prefix + "." + name; v.checkName(full) == nil {
			properties[name] = reference(full)
		}
	}
	s := schema{"description": about, "type": "object", "additionalProperties": false, "properties": properties}
	if prefix == "fio" {
		s["minProperties"] = 1
	}
	return s
}

func axesSchema(v vocabulary) schema {
	properties, settings := schema{}, schema{}
	for full := range settingSchemas(v) {
		properties[full] = schema{"type": "array", "minItems": 1, "uniqueItems": true, "items": reference(full)}
		settings[full] = reference(full)
	}
	return schema{
		"description":          "What varies: names of settings with their values. Every combination is a cell.",
		"type":                 "object",
		"minProperties":        1,
		"additionalProperties": false,
		"properties":           properties,
		"patternProperties": schema{
			`^variant\.` + variantNamePattern[1:]: schema{
				"description":   "An axis whose values are names for settings that go together.",
				"type":          "object",
				"minProperties": 1,
				"propertyNames": schema{"pattern": variantNamePattern},
				"additionalProperties": schema{
					"type": "object", "additionalProperties": false, "properties": settings,
				},
			},
		},
	}
}

func excludeSchema(v vocabulary) schema {
	var prefixes string
	for _, n := range v.namespaces {
		prefixes += n.prefix + "|"
	}
	return schema{
		"description": "Cells that are not measured: those that have all the axis values of one of the entries.",
		"type":        "array",
		"items": schema{
			"type": "object", "minProperties": 1,
			"propertyNames":        schema{"pattern": "^(" + prefixes + variantPrefix + `)\.`},
			"additionalProperties": schema{"type": []string{"string", "number", "boolean"}},
		},
	}
}
