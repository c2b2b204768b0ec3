package text

import (
	"bytes"
	"encoding/json"
	"io"

	"sigs.k8s.io/yaml"
)

// JSON writes v as indented JSON with a final newline. It returns the error of
// json.Encoder if v cannot be encoded, or the error of w.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// YAML writes v as YAML with the fields of its JSON form, sorted. It returns the errors
// that JSON returns.
func YAML(w io.Writer, v any) error {
	var b bytes.Buffer
	if err := JSON(&b, v); err != nil {
		return err
	}
	return YAMLOf(w, b.Bytes())
}

// YAMLOf writes a JSON document as YAML. It returns an error if document is not valid
// JSON, or the error of w.
func YAMLOf(w io.Writer, document []byte) error {
	text, err := yaml.JSONToYAML(document)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
