package policies

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/test/golden"
)

// A new policy must match the patterns of FS.
func TestFSHoldsEveryModuleButTheTests(t *testing.T) {
	want := modules(t, os.DirFS("."))
	want = slices.DeleteFunc(want, func(name string) bool {
		return strings.HasSuffix(name, "_test.rego") && !strings.HasPrefix(name, "testing/")
	})
	if got := modules(t, FS); !slices.Equal(got, want) {
		t.Errorf("FS holds %q, want %q", got, want)
	}
}

func modules(t *testing.T, in fs.FS) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(in, ".", func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".rego" {
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Policies that evaluate changes have the input of policies that evaluate states, plus the
// state before the change and the change.
func TestTheSchemaOfChangesIsThatOfStatesAndMore(t *testing.T) {
	golden.Check(t, "schemas/change.json", changeSchema(t))
}

// changeSchema returns the schema of the input of policies that evaluate changes, with the
// parts of schemas/input.json in the same order.
func changeSchema(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("schemas/input.json")
	if err != nil {
		t.Fatal(err)
	}
	var input struct {
		Schema     string `json:"$schema"`
		Properties struct {
			State      json.RawMessage `json:"state"`
			Parameters json.RawMessage `json:"parameters"`
			Now        json.RawMessage `json:"now"`
		} `json:"properties"`
		Definitions json.RawMessage `json:"definitions"`
	}
	if err := json.Unmarshal(text, &input); err != nil {
		t.Fatal(err)
	}
	object := `{"description": "The object as it was sent; null if there is none.", "type": ["object", "null"], "additionalProperties": true}`
	installation := `{"description": "The Installation for which tigera-operator makes the change, as the user changes it, or as it was before a delete; null for every other change.", "type": ["object", "null"], "additionalProperties": true}`
	change := `{
		"description": "The change.", "type": "object", "additionalProperties": false,
		"required": ["operation", "kind", "name", "user", "groups", "dryRun", "object", "oldObject", "installation"],
		"properties": {
			"operation": {"type": "string", "enum": ["CREATE", "UPDATE", "DELETE"]},
			"kind": {"type": "string"}, "name": {"type": "string"}, "user": {"type": "string"},
			"groups": {"type": "array", "items": {"type": "string"}}, "dryRun": {"type": "boolean"},
			"object": ` + object + `, "oldObject": ` + object + `, "installation": ` + installation + `
		}
	}`
	definitions := bytes.TrimRight(bytes.TrimSuffix(input.Definitions, []byte("}")), " \n")
	whole := fmt.Sprintf(`{
		"$schema": %q, "title": "The input of a policy that judges changes", "type": "object", "additionalProperties": false,
		"required": ["state", "before", "change", "parameters", "now"],
		"properties": {
			"state": {"$ref": "#/definitions/state"}, "before": {"$ref": "#/definitions/state"}, "change": %s,
			"parameters": %s, "now": %s
		},
		"definitions": %s, "state": %s}
	}`, input.Schema, change, input.Properties.Parameters, input.Properties.Now, definitions, input.Properties.State)
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(whole), "", "  "); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	return out.Bytes()
}
