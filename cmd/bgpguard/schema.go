package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/schema"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// schemaOptions are the flags that select the schemas of changed objects.
type schemaOptions struct {
	crds []string
}

func (o *schemaOptions) add(f *pflag.FlagSet) {
	f.StringArrayVar(&o.crds, "crds", nil, "`file` or directory with the CustomResourceDefinitions of the cluster's Calico; repeatable (default: those of the cluster, else of Calico "+schema.EmbeddedVersion+")")
}

// schemas returns the schemas of --crds, else of the cluster, else the embedded ones. live is
// nil without a cluster.
func (o *schemaOptions) schemas(ctx context.Context, live *liveCluster, stderr io.Writer) (*schema.Set, error) {
	var definitions []apiextensionsv1.CustomResourceDefinition
	switch {
	case len(o.crds) > 0:
		for _, path := range o.crds {
			read, err := readDefinitions(path)
			if err != nil {
				return nil, fmt.Errorf("flag --crds: %w", err)
			}
			definitions = append(definitions, read...)
		}
	case live != nil:
		objects, err := cluster.ReadDefinitions(ctx, live.config)
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			fmt.Fprintf(stderr, "note: the schemas are those of Calico %s, because the cluster's could not be read: %v\n", schema.EmbeddedVersion, err)
		}
		for _, object := range objects {
			d, err := schema.Definition(object)
			if err != nil {
				return nil, err
			}
			definitions = append(definitions, *d)
		}
	}
	return schema.New(definitions...), nil
}

// readDefinitions reads the CustomResourceDefinitions of a file or directory. It is an error if
// there are none.
func readDefinitions(path string) ([]apiextensionsv1.CustomResourceDefinition, error) {
	documents, err := manifest.Read([]string{path}, nil)
	if err != nil {
		return nil, err
	}
	var out []apiextensionsv1.CustomResourceDefinition
	for i := range documents {
		d := &documents[i]
		if d.Object["kind"] != "CustomResourceDefinition" {
			continue
		}
		definition, err := schema.Definition(d.Object)
		if err != nil {
			return nil, d.At("", err)
		}
		out = append(out, *definition)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: contains no CustomResourceDefinition", path)
	}
	return out, nil
}

// validateChange returns warnings about the changed object, and the errors for which an API
// server rejects it. document is the one that changes it, nil if flags do.
func validateChange(ctx context.Context, schemas *schema.Set, c state.Change, document *manifest.Document) ([]calico.Problem, error) {
	if c.After == nil {
		return nil, nil
	}
	after, before := calico.Manifest(c.After), calico.Manifest(c.Before)
	if document != nil && c.Before == nil {
		after = document.Object // With the fields that the decoder does not keep.
	}
	if after == nil {
		return nil, nil
	}
	found, err := schemas.Validate(ctx, after, before)
	if err != nil {
		return nil, err
	}
	var warnings []calico.Problem
	var errs []error
	for _, p := range found {
		switch {
		case p.Warning && document != nil:
			warnings = append(warnings, calico.Problem{Field: p.Field, Message: p.Message + place(document, p.Field)})
		case p.Warning:
			warnings = append(warnings, calico.Problem{Field: p.Field, Message: p.Message})
		case document != nil:
			errs = append(errs, document.At(p.Field, fmt.Errorf("%s: %s", c.After.ID(), p)))
		default:
			errs = append(errs, fmt.Errorf("%s: %s", c.After.ID(), p))
		}
	}
	if document != nil {
		for _, tag := range document.Tags() {
			warnings = append(warnings, calico.Problem{Field: tag.Field, Message: tag.Message() + place(document, tag.Field)})
		}
	}
	return warnings, errors.Join(errs...)
}

// place returns the file and line of a field in parentheses, for the end of a message.
func place(d *manifest.Document, field string) string {
	return fmt.Sprintf(" (%s:%d)", d.File, d.LineOf(field))
}

// tagNotes returns notes about values of a state that YAML reads as tags.
func tagNotes(read []state.Read) []string {
	var out []string
	for i := range read {
		for _, tag := range read[i].Document.Tags() {
			out = append(out, tag.Error())
		}
	}
	return out
}
