package state

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// Read is an object and the document that it was read from.
type Read struct {
	calico.Object

	Document manifest.Document
}

// Contents are the objects of files, with their documents.
type Contents struct {
	Objects []Read
	// Notes say what was skipped, and what the files lack and a reader should know.
	Notes []string

	none []calico.Kind // kinds for which the files contain an empty list
}

// ReadState reads a state from the files of all paths, like ReadChanges, with the objects that
// report the status of the network. Without paths the state is empty. It is an error if the
// files contain no object, or if one path contains an object twice. Of several paths, the
// objects of the last one count, with a note. A value that Calico cannot decode is noted, and
// read as unset. If the files contain an empty list of a kind,
// the state knows the kind. Without it, a kind that is absent and decides something is noted.
func ReadState(paths []string, stdin io.Reader) (*Snapshot, *Contents, error) {
	c := &Contents{}
	byPath, err := c.read(paths, stdin, calico.DecodeStored)
	if err != nil {
		return nil, nil, err
	}
	if err := c.unite(byPath); err != nil {
		return nil, nil, err
	}
	if len(paths) > 0 && len(c.Objects) == 0 {
		// The command that was expected to write the files has probably failed. With an
		// empty state every change would be allowed.
		return nil, nil, fmt.Errorf("%s: contains no object of a cluster", strings.Join(paths, ", "))
	}
	s := New(Objects(c.Objects)...).Knowing(c.none...)
	if len(paths) > 0 {
		c.Notes = append(c.Notes, c.absent(s)...)
	}
	return s, c, nil
}

// absent returns notes on the kinds of which the files have no object and no empty list, and
// whose absence decides something. s is the state of the files. An object that Typha drops is
// not absent: a policy reports it.
func (c *Contents) absent(s *Snapshot) []string {
	var notes []string
	note := func(kind calico.Kind, count int, effect string) {
		read := slices.ContainsFunc(c.Objects, func(r Read) bool { return r.ID().Kind == kind })
		if count == 0 && !read && !slices.Contains(c.none, kind) {
			notes = append(notes, fmt.Sprintf("no %s in the state: %s", kind, effect))
		}
	}
	config := s.BGPConfiguration(calico.Default)
	note(calico.KindBGPConfiguration, len(s.BGPConfigurations()), fmt.Sprintf("the mesh counts as on, and the AS number as %d", config.ClusterASNumber()))
	if !config.MeshEnabled() {
		note(calico.KindBGPPeer, len(s.BGPPeers()), "the mesh is off, so there are no sessions")
	}
	if len(s.Nodes()) > 0 {
		note(calico.KindIPPool, len(s.IPPools()), "all pod traffic counts as needing BGP")
	}
	if readsFelix(s) {
		note(calico.KindFelixConfiguration, len(s.FelixConfigurations()), "its field programClusterRoutes counts as unset")
	}
	return notes
}

// never is the VXLANMode or IPIPMode of an IPPool without it.
const never = "Never"

// readsFelix reports whether programClusterRoutes of the FelixConfiguration decides whether an
// IPPool needs BGP: since v3.31, if BIRD may not program the routes to its pods. BIRD does by
// default, except since v3.33 those of IPPools with IPIP.
func readsFelix(s *Snapshot) bool {
	var v *version.Version
	if info := s.ClusterInformation(); info != nil {
		v = info.Version
	}
	config := s.BGPConfiguration(calico.Default)
	configured := config != nil && config.ProgramClusterRoutes != ""
	return calico.HasField(v, calico.KindFelixConfiguration, "programClusterRoutes") && slices.ContainsFunc(s.IPPools(), func(p *calico.IPPool) bool {
		return p.Workload && p.Routed && p.VXLANMode == never && (configured || p.IPIPMode != never && calico.SplitClusterRoutes.In(v))
	})
}

// unite puts the objects of all paths into Objects, each object once.
func (c *Contents) unite(byPath [][]Read) error {
	type key struct {
		calico.ID

		namespace string
	}
	type position struct{ path, index int }
	at := map[key]position{}
	var errs []error
	var replaced []string
	for i, objects := range byPath {
		for _, r := range objects {
			k := key{ID: r.ID()}
			if secret, ok := r.Object.(*calico.Secret); ok {
				k.namespace = secret.Namespace
			}
			old, found := at[k]
			switch {
			case !found:
				at[k] = position{i, len(c.Objects)}
				c.Objects = append(c.Objects, r)
			case old.path == i:
				errs = append(errs, r.Document.At("metadata.name", fmt.Errorf("%s is in the state twice: it is also in %s", r.ID(), c.Objects[old.index].place())))
			default:
				replaced = append(replaced, fmt.Sprintf("%s of %s, not of %s", r.ID(), r.place(), c.Objects[old.index].place()))
				c.Objects[old.index], at[k] = r, position{i, old.index}
			}
		}
	}
	if n := len(errs); n > maxErrors {
		errs = append(errs[:maxErrors], fmt.Errorf("%s are in the state twice", text.Count(n-maxErrors, "more object")))
	}
	if n := len(replaced); n > 0 {
		more := ""
		if n > shownReplaced {
			more = fmt.Sprintf(", and %d more", n-shownReplaced)
		}
		c.Notes = append(c.Notes, fmt.Sprintf("%s in several files of the state, and the last one counts: %s%s",
			text.Count(n, "object is", "objects are"), strings.Join(replaced[:min(n, shownReplaced)], "; "), more))
	}
	return errors.Join(errs...)
}

// maxErrors is the number of objects that are twice in a state of which an error names each.
// shownReplaced is the number of objects that a note names.
const (
	maxErrors     = 10
	shownReplaced = 3
)

// place returns the file and line of an object.
func (r *Read) place() string { return fmt.Sprintf("%s:%d", r.Document.File, r.Document.Line) }

// ReadFiles reads and decodes the objects of all paths, like ReadChanges, with the objects
// that report the status of the network.
func ReadFiles(paths []string, stdin io.Reader) ([]Read, error) {
	var c Contents
	byPath, err := c.read(paths, stdin, calico.Decode)
	return slices.Concat(byPath...), err
}

// read returns the objects of each path. Its errors contain file, line and field; it joins
// those of all objects. It adds notes on values that Calico cannot decode.
func (c *Contents) read(paths []string, stdin io.Reader, decode func(map[string]any) (calico.Object, error)) ([][]Read, error) {
	byPath, skipped, err := manifest.ReadObjects(paths, stdin, decides)
	if err != nil {
		return nil, err
	}
	if note := skipped.String(); note != "" {
		c.Notes = append(c.Notes, note)
	}
	out := make([][]Read, len(byPath))
	var errs []error
	for i, docs := range byPath {
		for _, d := range docs {
			object, kind, err := readDocument(d, decode)
			switch {
			case err != nil:
				field := "kind"
				if e, ok := errors.AsType[*calico.FieldError](err); ok {
					field = e.Field
				}
				errs = append(errs, d.At(field, err))
			case object != nil:
				c.Notes = append(c.Notes, oddities(object, &d)...)
				if secret, ok := object.(*calico.Secret); !ok || secret.MayServeCalicoNode() {
					out[i] = append(out[i], Read{object, d})
				}
			case kind != "":
				c.none = append(c.none, kind)
			}
		}
	}
	return out, errors.Join(errs...)
}

// oddities returns notes on the values of an object that Calico cannot decode, and on labels that
// only calicoctl accepts.
func oddities(o calico.Object, d *manifest.Document) []string {
	var out []string
	for _, odd := range calico.Odd(o) {
		out = append(out, d.At(odd.Field, fmt.Errorf("%w; Calico cannot decode it", &odd)).Error())
	}
	if n, ok := o.(*calico.Node); ok && !n.Core() {
		for _, p := range n.Problems() {
			if strings.HasPrefix(p.Field, "metadata.labels.") {
				out = append(out, d.At(p.Field, errors.New(p.String())).Error())
			}
		}
	}
	return out
}

// maxTypos is the number of characters in which a kind of Calico's API groups may differ from
// a kind that decides BGP to count as a misspelling of it.
const maxTypos = 2

// decides reports whether a document is of a kind that decides BGP, is an empty list, or has a
// kind that is probably misspelled.
func decides(d *manifest.Document) bool {
	version, _ := d.Object["apiVersion"].(string)
	name, _ := d.Object["kind"].(string)
	of, isList := strings.CutSuffix(name, "List")
	_, err := calico.KindOf(version, of)
	if _, unknown := errors.AsType[*calico.UnknownKindError](err); !unknown || isList {
		return true
	}
	if !slices.Contains(calico.APIVersions, version) {
		return false
	}
	return slices.ContainsFunc(calico.Kinds(), func(info calico.Info) bool {
		return levenshtein.ComputeDistance(strings.ToLower(string(info.Kind)), strings.ToLower(name)) <= maxTypos
	})
}

// readDocument returns an object, or the kind of an empty list of objects of Calico or its operator. It returns
// neither for other empty lists. An empty list of Secrets, for example, does not contain the
// namespace from which it was read.
func readDocument(d manifest.Document, decode func(map[string]any) (calico.Object, error)) (calico.Object, calico.Kind, error) {
	name, _ := d.Object["kind"].(string)
	of, isList := strings.CutSuffix(name, "List")
	if !isList {
		object, err := decode(d.Object)
		return object, "", err
	}
	version, _ := d.Object["apiVersion"].(string)
	kind, err := calico.KindOf(version, of)
	if _, ok := errors.AsType[*calico.UnknownKindError](err); ok {
		return nil, "", nil
	}
	if info := kind.Info(); err != nil || !info.Calico && !info.Operator {
		return nil, "", err
	}
	return nil, kind, nil
}

// ReadChanges reads and decodes the objects of all paths in order. The path manifest.Stdin
// means stdin. An export of a cluster may contain Secrets that calico-node does not read, and
// objects that report the status of the network, on which no decision depends; ReadChanges
// skips them. It skips objects of other kinds, and in directories files without objects, with
// a note. It is an error if a file that was named contains only objects of other kinds. Errors
// contain file, line and field; ReadChanges joins the errors of all objects.
func ReadChanges(paths []string, stdin io.Reader) (*Contents, error) {
	c := &Contents{}
	byPath, err := c.read(paths, stdin, calico.Decode)
	c.Objects = slices.DeleteFunc(slices.Concat(byPath...), func(r Read) bool { return r.ID().Kind.Info().Observation })
	return c, err
}

// Objects returns the objects in read.
func Objects(read []Read) []calico.Object {
	out := make([]calico.Object, len(read))
	for i := range read {
		out[i] = read[i].Object
	}
	return out
}
