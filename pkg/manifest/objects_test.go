package manifest

import (
	"slices"
	"strings"
	"testing"
)

// aNode is the kind that the tests want.
func aNode(d *Document) bool { return d.Object["kind"] == "Node" }

func TestReadObjects(t *testing.T) {
	t.Chdir(t.TempDir())
	const (
		node  = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n"
		other = "apiVersion: v1\nkind: Role\n"
	)
	write(t, "repository/node.yaml", node+"---\n"+other)
	write(t, "repository/roles.yaml", other+"---\n"+other+"---\napiVersion: v1\nkind: Namespace\n")
	write(t, "repository/values-prod.yaml", "replicas: 2\n")
	write(t, "repository/settings.yaml", "- a\n- b\n")
	write(t, "repository/.pre-commit-config.yaml", "repos: []\n")
	write(t, "repository/kustomization.yaml", "resources: [node.yaml]\n")
	write(t, "repository/deployment.yaml", "{{- if .Values.on }}\nkind: [\n{{ end }}\n")
	write(t, "broken/node.yaml", "kind: [\n")
	write(t, "half/node.yaml", "kind: Node\n")
	write(t, "chart/Chart.yaml", "apiVersion: v2\nname: x\n")
	write(t, "chart/values.yaml", "a: 1\n")
	write(t, "template.yaml", node+"{{ .Values.x }}\n")
	write(t, "mixed.yaml", other+"---\n"+node)
	write(t, "other.yaml", other)
	for _, test := range []struct{ path, objects, skipped, err string }{
		{
			"repository", "node.yaml:1",
			"skipped 4 objects of other kinds (3 Role, 1 Namespace) and 5 files without objects (repository/.pre-commit-config.yaml, repository/deployment.yaml, " +
				"repository/kustomization.yaml, repository/settings.yaml, repository/values-prod.yaml)", "",
		},
		{"mixed.yaml", "mixed.yaml:4", "skipped 1 object of other kinds (1 Role)", ""},
		{"-", "<stdin>:4", "skipped 1 object of other kinds (1 Role)", ""},
		{path: "other.yaml", objects: "other.yaml:1"}, // The caller reports its kind.
		{path: "broken", err: "broken/node.yaml:1: did not find expected node content"},
		{path: "half", err: "half/node.yaml:1: apiVersion: is missing or not a string"},
		{path: "chart", err: "chart: is a Helm chart: render it first, for example: helm template chart | bgpguard check -f -"},
		{path: "template.yaml", err: "template.yaml:4: is a template: render it first, for example: helm template . | bgpguard check -f -"},
	} {
		t.Run(test.path, func(t *testing.T) {
			read, skipped, err := ReadObjects([]string{test.path}, strings.NewReader(other+"---\n"+node), aNode)
			if err != nil {
				if err.Error() != test.err {
					t.Errorf("got  %v\nwant %s", err, test.err)
				}
				return
			}
			var got []string
			for _, d := range slices.Concat(read...) {
				e := Error{d.File, d.Line, nil}
				got = append(got, strings.TrimPrefix(strings.TrimSuffix(e.Error(), ": <nil>"), "repository/"))
			}
			if test.err != "" || strings.Join(got, " ") != test.objects || skipped.String() != test.skipped {
				t.Errorf("read %q, %q; want %q, %q %s", got, skipped.String(), test.objects, test.skipped, test.err)
			}
		})
	}
}
