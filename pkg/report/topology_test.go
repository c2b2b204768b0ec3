package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"iter"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/report/picture"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/test/golden"
)

func render(t *testing.T, format string, topology *Topology) string {
	t.Helper()
	var b bytes.Buffer
	if err := TopologyFormats.Write(&b, format, topology); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The format svg is not compared, because the next version of D2 may draw differently; see
// TestSVGNamesEveryGroup.
func TestTopologyReports(t *testing.T) {
	for name, topology := range topologies {
		for _, format := range []string{Text, JSON, YAML, DOT} {
			t.Run(name+" as "+format, func(t *testing.T) {
				checkGolden(t, render(t, format, topology()))
			})
		}
		t.Run(name+" as html", func(t *testing.T) {
			checkGolden(t, withoutSVG(t, strings.NewReplacer(pageStyle+partsStyle, "STYLE", pageScript, "SCRIPT").Replace(render(t, HTML, topology()))))
		})
	}
}

// checkGolden compares got with the file of the test's name.
func checkGolden(t *testing.T, got string) {
	t.Helper()
	golden.Check(t, filepath.Join("testdata", strings.ReplaceAll(t.Name(), "/", "_")+".golden"), []byte(got))
}

// withoutSVG returns a page without its pictures.
func withoutSVG(t *testing.T, page string) string {
	t.Helper()
	for {
		before, rest, found := strings.Cut(page, "<svg xmlns")
		if !found {
			return page
		}
		_, after, closed := strings.Cut(rest, "</svg></svg>")
		if !closed {
			t.Fatal("a picture does not end")
		}
		page = before + "PICTURE" + after
	}
}

func TestSVGNamesEveryGroupAndIsWellFormed(t *testing.T) {
	for name, topology := range topologies {
		t.Run(name, func(t *testing.T) {
			topology := topology()
			text := xmlText(t, render(t, SVG, topology))
			for _, s := range picture.New(topology.Graph).Shapes {
				for _, line := range s.Lines() {
					if !strings.Contains(text, line) {
						t.Errorf("%q is not in the picture", line)
					}
				}
			}
			for _, l := range picture.New(topology.Graph).Links {
				if !strings.Contains(text, picture.LinkText(l)) {
					t.Errorf("%q is not in the picture", picture.LinkText(l))
				}
			}
		})
	}
}

func TestPicturesAreTheSameEachTime(t *testing.T) {
	first := render(t, HTML, large())
	if second := render(t, HTML, large()); first != second {
		t.Error("two pages of one topology differ")
	}
}

func TestTheTopologyPageLoadsNothingAndRunsOneScript(t *testing.T) {
	page := strings.Replace(render(t, HTML, hostile()), "<script>\n"+pageScript+"</script>", "", 1)
	page = strings.NewReplacer(` href="#`, "", ` href="data:,"`, "").Replace(page)
	for _, bad := range []string{"<script", "http-equiv=\"refresh\"", " href=", " src=", "url(http", "@import", " onload", "\x1b"} {
		if strings.Contains(strings.ToLower(page), bad) {
			t.Errorf("%q is in the page", bad)
		}
	}
}

// xmlText parses all of doc and returns its text.
func xmlText(t *testing.T, doc string) string {
	t.Helper()
	var b strings.Builder
	d := xml.NewDecoder(strings.NewReader(doc))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local == "script" {
				t.Error("the picture has a script")
			}
		case xml.CharData:
			b.Write(token)
		}
	}
}

func TestJSONAndYAMLFollowTheSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("topology.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, topology := range topologies {
		t.Run(name, func(t *testing.T) {
			text := render(t, JSON, topology())
			doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); err != nil {
				t.Error(err)
			}
			var fromJSON, fromYAML any
			if err := errors.Join(json.Unmarshal([]byte(text), &fromJSON), yaml.Unmarshal([]byte(render(t, YAML, topology())), &fromYAML)); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(fromJSON, fromYAML) {
				t.Errorf("YAML says\n%v\nJSON says\n%v", fromYAML, fromJSON)
			}
		})
	}
}

// TestJSONIsStreamed counts the half-sessions that are computed before a write fails.
func TestJSONIsStreamed(t *testing.T) {
	made := 0
	topology := mesh5()
	topology.Sessions = func(yield func(halfSession) bool) {
		for range 1_000_000 {
			made++
			if !yield(half("a", "Mesh_10_0_0_2", "10.0.0.2", "b", "Paired")) {
				return
			}
		}
	}
	full := errors.New("disk full")
	err := TopologyFormats.Write(limited{full}, JSON, topology)
	if !errors.Is(err, full) || made > 100 {
		t.Errorf("error %v after %d half-sessions", err, made)
	}
}

// halfSession is the type of package topology, for functions in which a variable hides the
// package.
type halfSession = topology.HalfSession

// TestFaultsAreNotSoughtBeyondTheLastThatIsShown counts the half-sessions that are read.
func TestFaultsAreNotSoughtBeyondTheLastThatIsShown(t *testing.T) {
	for name, c := range map[string]struct{ broken, most int }{
		"none is broken":  {0, 0},
		"two are broken":  {2, 2},
		"many are broken": {1_000_000, rowsShown},
	} {
		for _, format := range []string{Text, HTML} {
			t.Run(name+" as "+format, func(t *testing.T) {
				looked := 0
				topology := mesh5()
				topology.Summary.Sessions.IPv4.Broken = c.broken
				topology.Summary.Sessions.IPv4.BrokenReasons = map[reason]halfGroup{"NoReturn": {HalfSessions: c.broken}}
				topology.Broken = func(yield func(brokenSession) bool) {
					for range 1_000_000 {
						looked++
						if !yield(brokenSession{Node: "a", Reason: "NoReturn"}) {
							return
						}
					}
				}
				render(t, format, topology)
				if looked > c.most {
					t.Errorf("looked at %d, want at most %d", looked, c.most)
				}
			})
		}
	}
}

// The types of package topology, for functions in which a variable hides the package.
type (
	brokenSession = topology.BrokenSession
	reason        = topology.Reason
	halfGroup     = topology.HalfGroup
)

func TestALargePictureHasOneShapePerRole(t *testing.T) {
	p := picture.New(racks()).Fold()
	var got []string
	for _, s := range p.Shapes {
		got = append(got, strings.Join(s.Lines(), "; "))
	}
	for _, l := range p.Links {
		got = append(got, l.From+" to "+l.To+": "+picture.LinkText(l)+" "+picture.LinkSources(l))
	}
	want := []string{
		"45 external peers; 172.16.0.1, 172.16.1.1, 172.16.2.1 and 42 more",
		"4,500 nodes with other sessions only; g00-a, g00-b, g01-a and 4,497 more; in 45 groups",
		"external to peer: 4,500 external sessions, IPv4 from tor-g00, tor-g01, tor-g02 and 42 more",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// limited is a writer that always fails.
type limited struct{ err error }

func (l limited) Write([]byte) (int, error) { return 0, l.err }

func TestDifferences(t *testing.T) {
	seq := func(protocols ...string) iter.Seq[topology.HalfSession] {
		var list []topology.HalfSession
		for _, p := range protocols {
			name, keepalive, _ := strings.Cut(p, "=")
			h := half(name[:1], name[1:], "10.0.0.1", "", topology.Paired)
			if keepalive != "" {
				h.KeepaliveTime = new(len(keepalive))
			}
			list = append(list, h)
		}
		return slices.Values(list)
	}
	for name, c := range map[string]struct {
		before, after iter.Seq[topology.HalfSession]
		want          string
	}{
		"nothing and nothing":              {seq(), seq(), ""},
		"the same":                         {seq("a1", "b1=x"), seq("a1", "b1=x"), ""},
		"all are new":                      {seq(), seq("a1", "b1"), "+a1 +b1"},
		"all are gone":                     {seq("a1", "b1"), seq(), "-a1 -b1"},
		"one in the middle":                {seq("a1", "c1"), seq("a1", "b1", "c1"), "+b1"},
		"one altered among others":         {seq("a1", "a2=x", "b1"), seq("a2=xx", "b1", "b2"), "-a1 ~a2 +b2"},
		"a protocol twice, and then once":  {seq("a1", "a1"), seq("a1"), "-a1"},
		"the protocol of another node too": {seq("a1"), seq("b1"), "-a1 +b1"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for d := range differences(c.before, c.after) {
				switch {
				case d.Before == nil:
					got = append(got, "+"+d.After.Node+d.After.Protocol)
				case d.After == nil:
					got = append(got, "-"+d.Before.Node+d.Before.Protocol)
				default:
					got = append(got, "~"+d.After.Node+d.After.Protocol)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAnUnknownFormatOfATopologyIsAnError(t *testing.T) {
	var b bytes.Buffer
	if err := TopologyFormats.Write(&b, "png", mesh5()); err == nil || err.Error() != TopologyFormats.Validate("png").Error() || b.Len() > 0 {
		t.Errorf("error %v, output %q", err, b.String())
	}
}
