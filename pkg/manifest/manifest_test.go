package manifest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseRemembersWhereObjectsAndFieldsAre(t *testing.T) {
	const node = "apiVersion: v1\nkind: Node\nmetadata:\n  name: a\n"
	for name, c := range map[string]struct {
		text  string
		field string
		want  string // the lines of each document and its field
	}{
		"one document":                              {node, "metadata.name", "1:4"},
		"comments and a separator before it":        {"# a\n---\n# b\n" + node, "metadata.name", "4:7"},
		"several documents":                         {node + "---\n" + node + "--- # third\n\n\n" + node, "metadata.name", "1:4 6:9 13:16"},
		"documents of one text":                     {node + "---\n" + node + "---\n" + node, "metadata.name", "1:4 6:9 11:14"},
		"lines that end as Windows ends them":       {strings.ReplaceAll(node+"---\n"+node, "\n", "\r\n"), "metadata.name", "1:4 6:9"},
		"empty and comment-only documents between":  {"---\n---\n# none\n---\n" + node + "---\n# none\n---\n", "kind", "5:6"},
		"the nearest parent of an absent field":     {node, "metadata.labels.rack", "1:3"},
		"the object where no parent is there":       {node, "spec.peerIP", "1:1"},
		"items of sequences":                        {node + "spec:\n  uses:\n  - Workload\n  - Tunnel\n", "spec.uses[1]", "1:8"},
		"an item of a sequence beyond its end":      {node + "spec:\n  uses:\n  - Workload\n", "spec.uses[1]", "1:6"},
		"a key with dots, in brackets":              {node + "  annotations:\n    projectcalico.org/metadata: x\n", "metadata.annotations[projectcalico.org/metadata]", "1:6"},
		"a List, whose items are documents":         {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata:\n    name: a\n- apiVersion: v1\n  kind: Node\n  metadata:\n    name: b\n", "metadata.name", "4:7 8:11"},
		"a list in a second document":               {node + "---\napiVersion: v1\nkind: NodeList\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata:\n    name: b\n", "metadata.name", "1:4 9:12"},
		"a list in a list":                          {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n  - apiVersion: v1\n    kind: Node\n", "kind", "7:8"},
		"an empty list":                             {"apiVersion: v1\nkind: List\nitems: []\n", "kind", ""},
		"an empty list of one kind":                 {"---\napiVersion: v1\nkind: NodeList\nitems: []\n", "items", "2:4"},
		"JSON":                                      {"{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Node\",\n  \"metadata\": {\n    \"name\": \"a\"}}", "metadata.name", "1:5"},
		"JSON lists":                                {"{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n{\"apiVersion\": \"v1\",\n\"kind\": \"Node\"},\n{\"apiVersion\": \"v1\",\n\"kind\": \"Node\"}]}", "kind", "2:3 4:5"},
		"JSON objects, one a line":                  {"{\"apiVersion\": \"v1\", \"kind\": \"Node\"}\n{\"apiVersion\": \"v1\", \"kind\": \"Node\"}\n", "kind", "1:1 2:2"},
		"JSON objects on several lines":             {"{\"apiVersion\": \"v1\",\n\"kind\": \"Node\"} {\"apiVersion\": \"v1\",\n\"kind\": \"Node\"}", "kind", "1:2 2:3"},
		"a list without a kind":                     {"- apiVersion: v1\n  kind: Node\n- apiVersion: v1\n  kind: NodeList\n  items:\n  - apiVersion: v1\n    kind: Node\n", "kind", "1:2 6:7"},
		"items that are an alias":                   {"apiVersion: v1\nkind: List\nx: &x\n- apiVersion: v1\n  kind: Node\nitems: *x\n", "kind", "4:5"},
		"items that come out of a merge key":        {"x: &x\n  items: [{apiVersion: v1, kind: Node}]\n<<: *x\napiVersion: v1\nkind: List\n", "metadata", "1:1"},
		"dashes inside a text are not a separator":  {node + "  text: |\n    a\n    ---\n    b\nspec: {}\n", "spec", "1:9"},
		"dashes with more behind are not separator": {"--- {apiVersion: v1, kind: Node}\n", "kind", "1:1"},
		"no document":                               {"", "kind", ""},
		"only comments":                             {"# a\n# b\n", "kind", ""},
	} {
		t.Run(name, func(t *testing.T) {
			docs, err := Parse("f.yaml", []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range docs {
				e, ok := errors.AsType[*Error](d.At(c.field, errors.New("x")))
				if !ok || e.File != "f.yaml" {
					t.Fatalf("At gave %v", e)
				}
				got = append(got, fmt.Sprintf("%d:%d", d.Line, e.Line))
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("object:field lines %q, want %q", got, c.want)
			}
		})
	}
}

func TestParseNamesWhatDoesNotParse(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a tab for indentation":               {"apiVersion: v1\nkind: Node\nmetadata:\n\tname: a\n", "f.yaml:4: found character that cannot start any token"},
		"a bracket that is not closed":        {"# a\n---\napiVersion: v1\nspec: [1,\n", "f.yaml:4: did not find expected node content"},
		"indentation that does not fit":       {"apiVersion: v1\nkind: Node\n---\napiVersion: v1\n kind: Node\n", "f.yaml:5: mapping values are not allowed in this context"},
		"a key that comes twice":              {"apiVersion: v1\nkind: Node\nmetadata:\n  name: a\n  name: b\n", `f.yaml:5: key "name" already set in map`},
		"a key that comes twice in JSON":      {"{\"apiVersion\": \"v1\",\n\"kind\": \"Node\",\n\"kind\": \"Node\"}", `f.yaml:3: key "kind" already set in map`},
		"JSON without its end":                {"{\"apiVersion\": \"v1\",\n\"kind\": \"Node\"\n", "f.yaml:2: did not find expected ',' or '}'"},
		"an object behind the end of another": {"apiVersion: v1\nkind: Node\n...\n--- {kind: Node}\n", "f.yaml:4: must be a separate document: add a line with --- before it"},
		"a list without a kind":               {"- apiVersion: v1\n", "f.yaml:1: kind: is missing or not a string"},
		"a Helm template":                     {"apiVersion: v1\nkind: Node\n{{- if .Values.rack }}\n", "f.yaml:3: is a template: render it first, for example: helm template . | bgpguard check -f -"},
		"a text":                              {"---\nhello\n", "f.yaml:2: must be an object with apiVersion and kind"},
		"no apiVersion":                       {"kind: Node\n", "f.yaml:1: apiVersion: is missing or not a string"},
		"a kind that is no string":            {"apiVersion: v1\nkind: 1\n", "f.yaml:2: kind: is missing or not a string"},
		"an item that is no object":           {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Node\n- 7\n", "f.yaml:6: must be an object with apiVersion and kind"},
		"an item that is null":                {"apiVersion: v1\nkind: List\nitems:\n-\n", "f.yaml:4: must be an object with apiVersion and kind"},
	} {
		t.Run(name, func(t *testing.T) {
			docs, err := Parse("f.yaml", []byte(c.text))
			if err == nil {
				t.Fatalf("parsed %d documents", len(docs))
			}
			if err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestParseKeepsIntegers(t *testing.T) {
	docs, err := Parse("f.yaml", []byte("apiVersion: v1\nkind: Node\nspec: {asNumber: 4294967295, half: 0.5}\n"))
	if err != nil {
		t.Fatal(err)
	}
	spec := docs[0].Object["spec"].(map[string]any)
	if n, ok := spec["asNumber"].(int64); !ok || n != 4294967295 {
		t.Errorf("asNumber is %T %v, want an int64", spec["asNumber"], spec["asNumber"])
	}
	if f, ok := spec["half"].(float64); !ok || f != 0.5 {
		t.Errorf("half is %T %v, want a float64", spec["half"], spec["half"])
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReadTakesTheObjectsOfADirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	object := func(kind string) string { return "apiVersion: v1\nkind: " + kind + "\n" }
	write(t, "d/b.yaml", object("B"))
	write(t, "d/a.yml", object("A"))
	write(t, "d/c.json", `{"apiVersion": "v1", "kind": "C"}`)
	for _, skipped := range []string{"d/kustomization.yaml", "d/kustomization.yml", "d/notes.txt", "d/below/x.yaml"} {
		write(t, skipped, "not: [an object")
	}
	// As kubelet mounts a ConfigMap: links to files in a hidden directory.
	write(t, "d/..data/l.yaml", object("L"))
	if err := os.Symlink("..data/l.yaml", "d/l.yaml"); err != nil {
		t.Fatal(err)
	}
	docs, err := Read([]string{"d", Stdin, "d/b.yaml"}, strings.NewReader(object("S")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range docs {
		got = append(got, d.File+" "+d.Object["kind"].(string))
	}
	want := []string{"d/a.yml A", "d/b.yaml B", "d/c.json C", "d/l.yaml L", "<stdin> S", "d/b.yaml B"}
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

func TestReadErrorsNameThePath(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "empty/notes.txt", "")
	for path, want := range map[string]string{
		"nowhere": "nowhere: no such file or directory",
		"empty":   "empty: no .yaml, .yml or .json file in this directory",
	} {
		t.Run(path, func(t *testing.T) {
			if _, err := Read([]string{path}, nil); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"../../config/samples/cluster.yaml", "../../config/policies/mesh-node-limit.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("apiVersion: v1\nkind: List\nx: &x [{apiVersion: v1, kind: Node}]\nitems: *x\n")
	f.Add("x: &x\n  items: [{apiVersion: v1, kind: Node}]\n<<: *x\napiVersion: v1\nkind: List\n")
	f.Add("{\"apiVersion\": \"v1\", \"kind\": \"Node\"}\r\n---\r\n- 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		docs, err := Parse("f.yaml", []byte(text))
		if err != nil {
			if len(docs) > 0 {
				t.Error("documents beside an error")
			}
			return
		}
		lines := strings.Count(text, "\n") + 1
		for _, d := range docs {
			e, _ := errors.AsType[*Error](d.At("metadata.labels[0].x", errors.New("x")))
			if d.Line < 1 || d.Line > lines || e.Line < 1 || e.Line > lines {
				t.Errorf("lines %d and %d in a text of %d", d.Line, e.Line, lines)
			}
		}
	})
}

func TestAListNeedsItems(t *testing.T) {
	for _, text := range []string{"apiVersion: v1\nkind: List\n", "apiVersion: v1\nkind: List\nitems: x\n"} {
		if _, err := Parse("f.yaml", []byte(text)); err == nil || !strings.HasSuffix(err.Error(), ": items: must be a list of objects") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
