package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Schema gives the JSON schema (draft 2020-12) of a policy file, made from the
// description that the strict comparison uses too. It holds the form: keys,
// types, words, patterns. What values mean together only Parse knows.
func Schema() ([]byte, error) {
	s := schemaOf(fileSpec())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$id"] = "https://github.com/cloudvlan/cvlanctl/docs/schema/policy.json"
	s["title"] = "policy"
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("schema of the policy: %w", err)
	}
	return b.Bytes(), nil
}

func schemaOf(s *spec) map[string]any {
	m := map[string]any{}
	switch s.form {
	case textForm:
		textSchema(s, m)
	case intForm:
		m["type"], m["minimum"], m["maximum"] = "integer", s.min, s.max
	case boolForm:
		m["type"] = "boolean"
	case listForm:
		item := schemaOf(s.of)
		array := map[string]any{"type": "array", "items": item, "minItems": s.min, "maxItems": s.max}
		if s.lone {
			m["anyOf"] = []any{item, array}
		} else {
			m = array
		}
	case objectForm:
		objectSchema(s, m)
	case mapForm:
		pattern := namePattern
		if s.pattern != "" {
			pattern = s.pattern
		}
		m["type"] = "object"
		m["propertyNames"] = map[string]any{"pattern": "^(?:" + pattern + ")$"}
		m["additionalProperties"] = schemaOf(s.of)
		m["maxProperties"] = s.max
	}
	if s.doc != "" {
		m["description"] = s.doc
	}
	return m
}

func textSchema(s *spec, m map[string]any) {
	if len(s.enum) > 0 {
		m["enum"] = s.enum
		return
	}
	m["type"], m["minLength"], m["maxLength"] = "string", 1, maxText
	if s.number {
		m["type"], m["minimum"] = []string{"string", "integer"}, 0
	}
	if s.pattern != "" {
		m["pattern"] = "^(?:" + s.pattern + ")$"
	}
}

func objectSchema(s *spec, m map[string]any) {
	properties := map[string]any{}
	required := []string{}
	for _, f := range s.fields {
		properties[f.name] = schemaOf(f.spec)
		if f.required {
			required = append(required, f.name)
		}
	}
	m["type"], m["additionalProperties"], m["properties"] = "object", false, properties
	if len(required) > 0 {
		m["required"] = required
	}
	if len(s.exactly) > 0 {
		var one []any
		for _, name := range s.exactly {
			one = append(one, map[string]any{"required": []string{name}})
		}
		m["oneOf"] = one
	}
}

// Reference gives a table of every key of the file in Markdown, for the guide.
func Reference() string {
	var b strings.Builder
	b.WriteString("| key | value | meaning |\n|---|---|---|\n")
	reference(&b, "", fileSpec())
	return b.String()
}

func reference(b *strings.Builder, path string, s *spec) {
	for _, f := range s.fields {
		key := join(path, f.name)
		if f.name == "local" && path == "peers.NAME" {
			// The keys of node once more.
			fmt.Fprintf(b, "| `%s` | keys of `node` | %s |\n", key, f.doc)
			continue
		}
		if path == "defaults" && f.form == objectForm {
			fmt.Fprintf(b, "| `%s` | keys of `%s` | %s |\n", key, map[string]string{"ike": "peers.NAME.ike", "dpd": "peers.NAME.dpd", "esp": "tunnels.NAME.esp"}[f.name], f.doc)
			continue
		}
		must := ""
		if f.required {
			must = ", required"
		}
		fmt.Fprintf(b, "| `%s` | %s%s | %s |\n", key, valueWords(f.spec), must, f.doc)
		switch {
		case f.hidden:
		case f.form == objectForm:
			reference(b, key, f.spec)
		case f.form == mapForm && f.of.form == objectForm && !f.of.hidden:
			reference(b, key+".NAME", f.of)
		}
	}
}

func valueWords(s *spec) string {
	switch {
	case s.hidden:
		return "secret"
	case len(s.enum) > 0:
		return "`" + strings.Join(s.enum, "`, `") + "`"
	case s.form == intForm && s.min == s.max:
		return fmt.Sprintf("%d", s.min)
	case s.form == intForm:
		return fmt.Sprintf("%d to %d", s.min, s.max)
	case s.form == boolForm:
		return "`true`, `false`"
	case s.form == listForm:
		return "list of " + valueWords(s.of)
	case s.form == mapForm:
		return "map by name"
	case s.form == objectForm:
		return "map"
	case s.pattern == timePattern:
		return "time"
	case s.pattern == sizePattern:
		return "octets"
	case s.pattern == pathPattern:
		return "path"
	case s.pattern == uriPattern:
		return "URI"
	case s.doc != "" && s.check != nil && s.pattern == "":
		return s.doc
	}
	return "text"
}
