package config

import "encoding/json"

// Schema is a JSON schema (draft 7, which editors of TOML understand) of a configuration file.
func Schema() []byte {
	top := map[string]any{}
	for i := range tables {
		t := &tables[i]
		if t.list {
			top[t.name] = map[string]any{"type": "array", "description": t.note(), "items": t.schema()}
		} else {
			top[t.name] = map[string]any{"$ref": "#/definitions/" + t.name}
		}
	}
	definitions := map[string]any{}
	for i := range tables {
		if t := &tables[i]; !t.list {
			definitions[t.name] = t.schema()
		}
	}
	data, err := json.MarshalIndent(map[string]any{
		"$schema":              "http://json-schema.org/draft-07/schema#",
		"title":                "Castray configuration",
		"type":                 "object",
		"additionalProperties": false,
		"properties":           top,
		"definitions":          definitions,
	}, "", "  ")
	if err != nil {
		panic("config: schema: " + err.Error()) // maps of texts always marshal
	}
	return append(data, '\n')
}

func (t *table) schema() map[string]any {
	properties := map[string]any{}
	for i := range t.keys {
		properties[t.keys[i].name] = t.keys[i].schema()
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "description": t.note(), "properties": properties}
	if t.name == "site" {
		properties["hub"] = map[string]any{"$ref": "#/definitions/hub"}
		s["required"] = []string{"fhir_url", "client_id"}
	}
	return s
}

func (k *key) schema() map[string]any {
	s := map[string]any{"description": k.note()}
	words := map[string]any{"type": "string"}
	if k.words != nil {
		words["enum"] = k.words
	}
	if k.entries != nil {
		words["enum"] = k.entries
	}
	switch k.kind {
	case yesNo:
		s["type"] = "boolean"
	case number:
		s["type"] = "integer"
	case list:
		s["type"], s["items"] = "array", words
	case period:
		s["type"], s["pattern"] = "string", `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
	default:
		s["type"] = "string"
		if k.words != nil {
			s["enum"] = k.words
		}
	}
	if def, err := k.parse(k.def); err == nil && k.def != "" {
		if k.kind == period {
			def = k.def
		}
		s["default"] = def
	}
	return s
}
