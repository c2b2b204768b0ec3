package state

import (
	"errors"
	"io"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
)

// Read is an object and the document that it was read from.
type Read struct {
	calico.Object

	Document manifest.Document
}

// ReadFiles reads and decodes the objects of all paths; manifest.Stdin among them
// is stdin. Errors name file, line and field; those of all objects are joined.
// Left out are Secrets that calico-node does not read, which exports hold beside.
func ReadFiles(paths []string, stdin io.Reader) ([]Read, error) {
	docs, err := manifest.Read(paths, stdin)
	if err != nil {
		return nil, err
	}
	var out []Read
	var errs []error
	for _, d := range docs {
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
	return out, errors.Join(errs...)
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
