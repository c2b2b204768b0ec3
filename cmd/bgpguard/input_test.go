package main

import (
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bgpguard/bgpguard/test/golden"
)

// TestExamplesOfTheInput compares the published examples with the output of the command, and
// validates both against the schemas.
func TestExamplesOfTheInput(t *testing.T) {
	const samples, examples, schemas = "../../config/samples", "../../policies/examples", "../../policies/schemas"
	schema := map[string]*jsonschema.Schema{}
	for _, name := range []string{"input.json", "change.json"} {
		var err error
		if schema[name], err = jsonschema.NewCompiler().Compile(filepath.Join(schemas, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]changeOptions{
		"create.json": {files: []string{"new-peer.yaml"}},
		"update.json": {files: []string{"change.yaml"}},
		"delete.json": {files: []string{"change.yaml"}, delete: deletions{files: true}},
	} {
		t.Run(name, func(t *testing.T) {
			change.files[0] = filepath.Join(samples, change.files[0])
			change.states = []string{filepath.Join(samples, "cluster.yaml")}
			change.user, change.groups = "alice", []string{"network"}
			o := inputOptions{oneChangeOptions: oneChangeOptions{changeOptions: change, clockOptions: clockOptions{now: "2026-01-01T00:00:00Z"}}}
			var got bytes.Buffer
			if err := o.run(t.Context(), strings.NewReader(""), &got, io.Discard); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, filepath.Join(examples, name), got.Bytes())
			document, err := jsonschema.UnmarshalJSON(&got)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema["change.json"].Validate(document); err != nil {
				t.Errorf("schemas/change.json: %v", err)
			}
			whole := document.(map[string]any)
			operation := whole["change"].(map[string]any)["operation"]
			if want := strings.ToUpper(strings.TrimSuffix(name, ".json")); operation != want {
				t.Errorf("operation %v, want %s", operation, want)
			}
			for _, side := range []string{"state", "before"} {
				state := map[string]any{"state": whole[side], "parameters": map[string]any{}, "now": json.Number("1")}
				if err := schema["input.json"].Validate(state); err != nil {
					t.Errorf("schemas/input.json: %s: %v", side, err)
				}
			}
		})
	}
}
