package text

import (
	"bytes"
	"encoding/json"
	"io"

	"sigs.k8s.io/yaml"
)

// JSON writes v as indented JSON with a line's end after it. An error is that of
// json.Encoder for a value that has no JSON, or that of w.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// YAML writes v as YAML, with the fields that its JSON has, sorted. An error is one
// of JSON.
func YAML(w io.Writer, v any) error {
	var b bytes.Buffer
	if err := JSON(&b, v); err != nil {
		return err
	}
	return YAMLOf(w, b.Bytes())
}

// YAMLOf writes a JSON document as YAML. An error says that it is none, or is that
// of w.
func YAMLOf(w io.Writer, document []byte) error {
	text, err := yaml.JSONToYAML(document)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
