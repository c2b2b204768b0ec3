package state

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
)

// Read is an object and the document that it was read from.
type Read struct {
	calico.Object

	Document manifest.Document
}

// ReadState reads a state from the files of all paths, like ReadFiles. It also returns the
// objects with their documents. Without paths the state is empty. It is an error if the
// files contain no object. If the files contain an empty list of an optional kind, the state
// knows the kind.
func ReadState(paths []string, stdin io.Reader) (*Snapshot, []Read, error) {
	objects, none, err := readFiles(paths, stdin)
	if err != nil {
		return nil, nil, err
	}
	if len(paths) > 0 && len(objects) == 0 {
		// The command that was expected to write the files has probably failed. With an
		// empty state every change would be allowed.
		return nil, nil, fmt.Errorf("%s: contains no object of a cluster", strings.Join(paths, ", "))
	}
	return New(Objects(objects)...).Knowing(none...), objects, nil
}

// ReadFiles reads and decodes the objects of all paths. The path manifest.Stdin means stdin.
// An export of a cluster may contain Secrets that calico-node does not read; ReadFiles skips
// them. Errors contain file, line and field. ReadFiles joins the errors of all objects.
func ReadFiles(paths []string, stdin io.Reader) ([]Read, error) {
	objects, _, err := readFiles(paths, stdin)
	return objects, err
}

// readFiles is like ReadFiles. It also returns the kinds for which the files contain an empty
// list.
func readFiles(paths []string, stdin io.Reader) (out []Read, none []calico.Kind, err error) {
	docs, err := manifest.Read(paths, stdin)
	if err != nil {
		return nil, nil, err
	}
	var errs []error
	for _, d := range docs {
		object, kind, err := readDocument(d)
		switch {
		case err != nil:
			field := "kind"
			if e, ok := errors.AsType[*calico.FieldError](err); ok {
				field = e.Field
			}
			errs = append(errs, d.At(field, err))
		case object != nil:
			if secret, ok := object.(*calico.Secret); !ok || secret.MayServeCalicoNode() {
				out = append(out, Read{object, d})
			}
		case kind != "":
			none = append(none, kind)
		}
	}
	return out, none, errors.Join(errs...)
}

// readDocument returns an object, or the kind of an empty list of Calico objects. It returns
// neither for other empty lists. An empty list of Secrets, for example, does not contain the
// namespace from which it was read.
func readDocument(d manifest.Document) (calico.Object, calico.Kind, error) {
	text, _ := d.Object["kind"].(string)
	of, isList := strings.CutSuffix(text, "List")
	if !isList {
		object, err := calico.Decode(d.Object)
		return object, "", err
	}
	version, _ := d.Object["apiVersion"].(string)
	kind, err := calico.KindOf(version, of)
	if _, ok := errors.AsType[*calico.UnknownKindError](err); ok {
		return nil, "", nil
	}
	if err != nil || !kind.Info().Calico {
		return nil, "", err
	}
	return nil, kind, nil
}

// ReadChanges is like ReadFiles but skips observations. An export of a cluster may contain
// them, but no decision depends on them.
func ReadChanges(paths []string, stdin io.Reader) ([]Read, error) {
	read, err := ReadFiles(paths, stdin)
	return slices.DeleteFunc(read, func(r Read) bool { return r.ID().Kind.Info().Observation }), err
}

// Objects returns the objects in read.
func Objects(read []Read) []calico.Object {
	out := make([]calico.Object, len(read))
	for i := range read {
		out[i] = read[i].Object
	}
	return out
}
