// Package architecture holds the map of the module: what each package does, and
// what it may import. A new package needs a row.
package architecture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/bgpguard/bgpguard/"

// floor is a group of packages that stand at the same height. A package may import
// packages on lower floors, and on its own floor those in the rows above its own.
type floor struct {
	name string
	rows []row
}

// row is a package on a floor.
type row struct {
	path string
	does string
	// imports names the packages of this module that it may import besides the
	// leaves, or is anything, for all below.
	imports string
	// uses names the restricted libraries that it may import.
	uses string
}

const anything = "*"

// leaves is the floor whose packages every other package may import.
const leaves = "leaves"

// floors is the map of the module, from the bottom up. The longer a package's
// imports, the harder it is to understand alone.
var floors = []floor{
	{leaves, []row{
		{"pkg/violation", "the result of a policy: violations and actions", "", ""},
		{"pkg/text", "words, numbers and lists for people; JSON and YAML", "", ""},
		{"pkg/text/wrap", "lines broken at the width of a terminal", "", ""},
		{"pkg/manifest", "YAML and JSON documents with line numbers", "", ""},
		{"pkg/loop", "signals, pauses, intervals and repeated errors of long-running loops", "", ""},
		{"pkg/api/v1alpha1", "the types of BGPPolicies, BGPExceptions and scenarios", "", ""},
		{"policies", "the embedded library of policies in Rego", "", ""},
		{"config/webhook", "the embedded configuration that registers the webhook", "", ""},
	}},
	{"the state of a cluster", []row{
		{"pkg/calico", "Calico's objects in every API form; the table of kinds", "", "calico"},
		{"pkg/state", "snapshots and changes", "pkg/calico", ""},
		{"pkg/operator", "what tigera-operator writes for an Installation", "pkg/calico pkg/state", "calico"},
		{"pkg/apply", "what an API server stores after kubectl or calicoctl sends a file", "pkg/calico", ""},
	}},
	{"what follows from a state", []row{
		// nodes knows no sessions, and routes no objects.
		{"pkg/topology/nodes", "the nodes of a cluster as sets, and classes of nodes that peer alike", "pkg/calico", ""},
		{"pkg/topology/sessions/bgpfilter", "what BGPFilters do with routes to a prefix, and whether they let the same routes pass", "", ""},
		{"pkg/topology/sessions", "who peers with whom, as confd and BIRD decide it", "pkg/calico pkg/state pkg/topology/nodes pkg/topology/sessions/bgpfilter", ""},
		{"pkg/topology/routes", "who has whose routes, by RFC 4271 and 4456 over a plain graph", "", ""},
		{
			"pkg/topology", "sessions and routes that Calico would configure; the summary for policies",
			"pkg/calico pkg/state pkg/topology/nodes pkg/topology/routes pkg/topology/sessions pkg/topology/sessions/bgpfilter", "calico",
		},
		{"pkg/schema", "validates objects as an API server does, against the schemas of CustomResourceDefinitions", "pkg/calico", ""},
		{"pkg/health", "what nodes report, compared with the topology", "pkg/calico pkg/state pkg/topology", ""},
		// Rego is evaluated on plain values: it knows neither a state nor Calico.
		{"pkg/policy", "compiles and evaluates policies", "", ""},
	}},
	// One code path judges, for webhook, audit, CLI and tests. Up to here and in the
	// next floor nothing knows a cluster or a network: a judgement is a pure function.
	{"judging", []row{
		{"pkg/validate", "the engine: snapshot + change -> decision", "pkg/calico pkg/operator pkg/policy pkg/state pkg/topology", ""},
		{"pkg/audit", "the violations of a state, and their history", "pkg/calico pkg/health pkg/policy pkg/state pkg/topology pkg/validate", ""},
		{"pkg/openreports", "an audit as report objects", "pkg/audit pkg/calico pkg/policy", ""},
		{"pkg/scenario", "scenario tests of policies", "pkg/apply pkg/calico pkg/policy pkg/state pkg/validate", ""},
		{"pkg/plan", "an order of changes in which each is allowed; steps to another state", "pkg/apply pkg/calico pkg/health pkg/policy pkg/scenario pkg/state pkg/topology pkg/topology/sessions pkg/validate", "calico"},
		{"pkg/author", "create, check, test, measure and explain policies", "pkg/calico pkg/policy pkg/scenario pkg/state pkg/validate", ""},
	}},
	{"output", []row{
		{"pkg/report/junit", "JUnit XML", "", ""},
		{"pkg/report/picture", "pictures of a topology; the only package that links the layout library", "pkg/topology", "drawing"},
		{
			"pkg/report", "the output of each command; the table of formats",
			"pkg/audit pkg/author pkg/calico pkg/health pkg/openreports pkg/plan pkg/policy pkg/report/junit pkg/report/picture pkg/scenario pkg/state pkg/topology pkg/validate", "",
		},
	}},
	{"clusters", []row{
		{"pkg/registration", "how the API server is configured to ask the webhook, compared with the installed configuration", "config/webhook", ""},
		{"pkg/cluster", "follows or reads a cluster", "pkg/calico pkg/state", "kubernetes http"},
		{"pkg/reserve", "changes that were allowed and that a snapshot may not show, shared by the replicas", "pkg/calico pkg/state", "kubernetes"},
		{"pkg/scenario/live", "runs scenarios against a cluster", "pkg/calico pkg/scenario pkg/validate", "kubernetes"},
	}},
	// These stand side by side: none of them imports another.
	{"the parts of the webhook", []row{
		{"pkg/admission", "AdmissionReview -> decision -> response", "pkg/calico pkg/policy pkg/reserve pkg/state pkg/validate", "kubernetes http"},
		{
			"pkg/auditor", "the audit that runs on the leader: record, Events, reports, metrics",
			"pkg/audit pkg/calico pkg/health pkg/openreports pkg/policy pkg/registration pkg/state pkg/topology pkg/validate", "kubernetes http",
		},
		{"pkg/trial", "first runs of Rego, in a process with limits", "pkg/policy", ""},
		{"pkg/enforce", "the policies and exceptions in force: library, files, BGPPolicies, BGPExceptions, their status", "pkg/policy pkg/state", "kubernetes http"},
		{"certs", "the serving certificate", "", "kubernetes http"},
		{"pkg/leader", "the election of a leader, which runs and stops the leader's work", "", "kubernetes"},
	}},
	{"processes", []row{
		{"pkg/process", "what the processes share: log, probes, addresses", "", "kubernetes http"},
		{
			"pkg/server", "the webhook: options, wiring, shutdown",
			"certs pkg/admission pkg/audit pkg/auditor pkg/calico pkg/cluster pkg/enforce pkg/leader pkg/policy pkg/process pkg/registration pkg/reserve pkg/state pkg/trial pkg/validate", "kubernetes http",
		},
		{
			"pkg/serve", "the web UI, which only the CLI links",
			"pkg/audit pkg/auditor pkg/calico pkg/cluster pkg/enforce pkg/manifest pkg/policy pkg/process pkg/report pkg/state pkg/validate", "kubernetes http",
		},
	}},
	{"commands", []row{
		{"cmd/webhook", "the webhook's main function", "pkg/server pkg/trial", ""},
		{"cmd/bgpguard", "the CLI: one file per verb", anything, "kubernetes"},
	}},
	// No package above imports these.
	{"tests", []row{
		{"pkg/calico/calicotest", "makes Calico's objects for tests", "pkg/calico", ""},
		{"pkg/topology/topologytest", "makes states for tests", "pkg/state pkg/topology", ""},
		{"test/architecture", "this map", "", ""},
		{"test/golden", "golden files and their -update flag", "", ""},
		{"test/tool", "builds and finds the tools of tests", "", ""},
		{"test/docs", "links and command lines of the documents", "", ""},
		{"test/env", "a real API server and a webhook process", "pkg/scenario/live", "kubernetes http"},
		{"test/e2e", "end-to-end tests", "", ""},
		{"test/schema", "pkg/schema compared with a real API server", "", ""},
		{"test/judgement", "sequences of changes and the expected answers", "", ""},
		{"test/races", "concurrent changes against a real API server", "", ""},
		{"test/soak", "the webhook under load for minutes", "", ""},
		{"test/bench", "measures the webhook beside one that allows everything, and beside Gatekeeper and Kyverno", "test/env", "kubernetes http"},
		{"test/demo", "a guided tour on a real API server", "test/env", ""},
		{"test/bird", "predictions compared with BIRD", "pkg/calico pkg/state pkg/topology", ""},
		{"test/cluster", "an installation on real nodes: kubelet, containerd, kube-proxy", "", ""},
		{"test/cluster/pause", "the program of the sandbox containers in test/cluster", "", ""},
		{"test/browser", "HTML reports in Chromium", "", ""},
		{"test/judgement/property", "property tests of decisions on random states", "", ""},
		{"test/crds", "Calico's CRDs, from its modules", "pkg/calico", "calico"},
		{"test/monitoring", "alerts and dashboard", "", ""},
		{"test/chart", "the Helm chart, compared with config/ and on a real API server", "test/tool", ""},
		{"test/release", "what make release builds", "", ""},
	}},
}

// libraries are the restricted libraries by the word in row.uses: prefixes of
// import paths.
var libraries = map[string][]string{
	"kubernetes": {"k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
	"http":       {"net/http"},
	"calico":     {"github.com/projectcalico"},
	"drawing":    {"oss.terrastruct.com"},
}

// notAtAdmission are prefixes of packages that the webhook must not link, not even
// indirectly: renderers, and the JavaScript engine of the layout library.
var notAtAdmission = []string{
	module + "pkg/report", module + "pkg/serve", module + "pkg/author", module + "pkg/schema",
	"oss.terrastruct.com", "github.com/dop251/goja", "github.com/alecthomas/chroma", "github.com/yuin/goldmark",
}

// notInTests are prefixes of libraries for assertions: package testing is enough.
var notInTests = []string{"github.com/stretchr/testify", "github.com/onsi"}

// listed is a package as go list prints it.
type listed struct {
	ImportPath   string   `json:"ImportPath"`
	Imports      []string `json:"Imports"`
	TestImports  []string `json:"TestImports"`
	XTestImports []string `json:"XTestImports"`
	Deps         []string `json:"Deps"`
}

func (p *listed) path() string { return strings.TrimPrefix(p.ImportPath, module) }

// watchSources makes the cached result of this test depend on the Go files of the
// module: go test does not see what the child process go list reads.
func watchSources(t *testing.T, root string) {
	t.Helper()
	if err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "bin", "node_modules"}, entry.Name()):
			return fs.SkipDir
		case filepath.Ext(path) == ".go" || entry.Name() == "go.mod":
			_, err = os.Stat(path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// list returns the packages of the module.
func list(t *testing.T) []listed {
	t.Helper()
	const root = "../.."
	watchSources(t, root)
	command := exec.Command("go", "list", "-tags", "system", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", "./...")
	command.Dir = root
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// below returns the rows that a package may import at all: those before its own. ok
// is false for a package without a row.
func below(path string) (own row, before []string, ok bool) {
	for _, f := range floors {
		for _, r := range f.rows {
			if r.path == path {
				return r, before, true
			}
			before = append(before, r.path)
		}
	}
	return row{}, nil, false
}

// faults returns what is wrong with the imports of a package.
func faults(p *listed) []string {
	own, before, ok := below(p.path())
	if !ok {
		return []string{"it has no row in the map: decide what it does, on which floor it stands and what it may import"}
	}
	var out []string
	isLeaf := func(path string) bool {
		return slices.ContainsFunc(floors[0].rows, func(r row) bool { return r.path == path })
	}
	for _, path := range p.Imports {
		if imported, ours := strings.CutPrefix(path, module); ours {
			switch {
			case !slices.Contains(before, imported):
				out = append(out, "it imports "+imported+", which stands above it")
			case !isLeaf(imported) && own.imports != anything && !slices.Contains(strings.Fields(own.imports), imported):
				out = append(out, "it imports "+imported+", which its row does not name")
			}
		}
		for word, prefixes := range libraries {
			if hasPrefix(path, prefixes) && !slices.Contains(strings.Fields(own.uses), word) {
				out = append(out, fmt.Sprintf("it imports %s, and its row does not use %q", path, word))
			}
		}
	}
	for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
		if hasPrefix(path, notInTests) {
			out = append(out, "its tests import "+path)
		}
	}
	if p.path() == "cmd/webhook" {
		for _, path := range p.Deps {
			if hasPrefix(path, notAtAdmission) {
				out = append(out, "it links "+path)
			}
		}
	}
	return out
}

// hasPrefix reports whether a package is one of those in prefixes or below them.
func hasPrefix(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		return path == prefix || strings.HasPrefix(path, prefix+"/")
	})
}

func TestEveryPackageKeepsToTheMap(t *testing.T) {
	packages := list(t)
	for _, p := range packages {
		t.Run(p.path(), func(t *testing.T) {
			for _, fault := range faults(&p) {
				t.Error(fault)
			}
		})
	}
	for _, f := range floors {
		for _, r := range f.rows {
			i := slices.IndexFunc(packages, func(p listed) bool { return p.path() == r.path })
			if i < 0 {
				t.Errorf("%s does not exist", r.path)
				continue
			}
			// A permission that nothing needs would hide what a package depends on.
			for imported := range strings.FieldsSeq(r.imports) {
				if imported != anything && !slices.Contains(packages[i].Imports, module+imported) {
					t.Errorf("%s does not import %s, which its row names", r.path, imported)
				}
			}
			for word := range strings.FieldsSeq(r.uses) {
				if !slices.ContainsFunc(packages[i].Imports, func(path string) bool { return hasPrefix(path, libraries[word]) }) {
					t.Errorf("%s does not use %q", r.path, word)
				}
			}
		}
	}
}

func TestFaultsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		p    listed
		want string
	}{
		"a leaf":                   {listed{ImportPath: module + "pkg/policy", Imports: []string{"fmt", module + "pkg/violation"}}, ""},
		"a package named in a row": {listed{ImportPath: module + "pkg/state", Imports: []string{module + "pkg/calico"}}, ""},
		"a new package":            {listed{ImportPath: module + "pkg/new"}, "it has no row in the map: decide what it does, on which floor it stands and what it may import"},
		"upwards":                  {listed{ImportPath: module + "pkg/calico", Imports: []string{module + "pkg/state"}}, "it imports pkg/state, which stands above it"},
		"not named":                {listed{ImportPath: module + "pkg/policy", Imports: []string{module + "pkg/state"}}, "it imports pkg/state, which its row does not name"},
		"a network below clusters": {listed{ImportPath: module + "pkg/validate", Imports: []string{"net/http"}}, `it imports net/http, and its row does not use "http"`},
		"Calico in pkg/policy":     {listed{ImportPath: module + "pkg/policy", Imports: []string{"github.com/projectcalico/api/pkg"}}, `it imports github.com/projectcalico/api/pkg, and its row does not use "calico"`},
		"a test of testify's":      {listed{ImportPath: module + "pkg/text", TestImports: []string{"github.com/stretchr/testify/assert"}}, "its tests import github.com/stretchr/testify/assert"},
		"a webhook that draws":     {listed{ImportPath: module + "cmd/webhook", Deps: []string{"crypto/ed25519", "oss.terrastruct.com/d2/d2lib"}}, "it links oss.terrastruct.com/d2/d2lib"},
		"a CLI that draws":         {listed{ImportPath: module + "cmd/bgpguard", Imports: []string{module + "pkg/report"}, Deps: []string{"oss.terrastruct.com/d2/d2lib"}}, ""},
		"a test helper in the CLI": {listed{ImportPath: module + "cmd/bgpguard", Imports: []string{module + "test/golden"}}, "it imports test/golden, which stands above it"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(faults(&c.p), "; "); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// docs/architecture.md has a row for each package, in the order of the map: what it does and when to modify it.
func TestTheDocumentNamesEveryPackage(t *testing.T) {
	document, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := bytes.Cut(document, []byte("| package |"))
	if !found {
		t.Fatal("docs/architecture.md has no table of packages")
	}
	last, before := 0, ""
	for _, f := range floors {
		if f.name == "tests" {
			continue
		}
		for _, r := range f.rows {
			switch at := bytes.Index(table, []byte("`"+r.path+"`")); {
			case at < 0:
				t.Errorf("docs/architecture.md does not name %s", r.path)
			case at < last:
				t.Errorf("docs/architecture.md names %s above %s, which it may import", r.path, before)
			default:
				last, before = at, r.path
			}
		}
	}
}
