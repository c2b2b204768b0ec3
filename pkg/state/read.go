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

// ReadState reads the state that the files of all paths hold, as ReadFiles reads
// them; without a path it is empty, but files without an object are an error. An
// empty list of a kind says that there is none, which matters of those that a state
// may lack because nobody asked for them. With the state come its objects as they
// were read.
func ReadState(paths []string, stdin io.Reader) (*Snapshot, []Read, error) {
	objects, none, err := readFiles(paths, stdin)
	if err != nil {
		return nil, nil, err
	}
	if len(paths) > 0 && len(objects) == 0 {
		// Every change to nothing is allowed: what was to make the state has failed.
		return nil, nil, fmt.Errorf("%s: no object of a cluster", strings.Join(paths, ", "))
	}
	return New(Objects(objects)...).Knowing(none...), objects, nil
}

// ReadFiles reads and decodes the objects of all paths; manifest.Stdin among them
// is stdin. Errors name file, line and field; those of all objects are joined.
// Left out are Secrets that calico-node does not read, which exports hold beside.
func ReadFiles(paths []string, stdin io.Reader) ([]Read, error) {
	objects, _, err := readFiles(paths, stdin)
	return objects, err
}

// readFiles returns the kinds too of which the files say that there is no object.
func readFiles(paths []string, stdin io.Reader) (out []Read, none []calico.Kind, err error) {
	docs, err := manifest.Read(paths, stdin)
	if err != nil {
		return nil, nil, err
	}
	var errs []error
	for _, d := range docs {
		if kind, ok := emptyList(d.Object); ok {
			none = append(none, kind)
			continue
		}
		object, err := calico.Decode(d.Object)
		if err == nil {
			if secret, ok := object.(*calico.Secret); !ok || secret.MayServeCalicoNode() {
				out = append(out, Read{object, d})
			}
			continue
		}
		field := "kind"
		if e, ok := errors.AsType[*calico.FieldError](err); ok {
			field = e.Field
		}
		errs = append(errs, d.At(field, err))
	}
	return out, none, errors.Join(errs...)
}

// emptyList returns the kind of an empty list, "" for one that is not Calico's: a
// list of Secrets, say, is of one namespace and does not tell of which.
func emptyList(object map[string]any) (kind calico.Kind, ok bool) {
	text, _ := object["kind"].(string)
	text, ok = strings.CutSuffix(text, "List")
	version, _ := object["apiVersion"].(string)
	if group, _, _ := strings.Cut(version, "/"); group == calico.GroupV1 || group == calico.GroupV3 {
		kind = calico.Kind(text)
	}
	return kind, ok
}

// ReadChanges is ReadFiles for objects that change, without CalicoNodeStatuses: an
// export holds them beside, and there is nothing in them to judge.
func ReadChanges(paths []string, stdin io.Reader) ([]Read, error) {
	read, err := ReadFiles(paths, stdin)
	return slices.DeleteFunc(read, func(r Read) bool { return r.ID().Kind == calico.KindCalicoNodeStatus }), err
}

// Objects returns the objects of all that was read.
func Objects(read []Read) []calico.Object {
	out := make([]calico.Object, len(read))
	for i := range read {
		out[i] = read[i].Object
	}
	return out
}
