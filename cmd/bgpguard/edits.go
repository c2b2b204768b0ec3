package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/apply"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// deleteFiles is the value of --delete without a value.
const deleteFiles = "files"

// deletions is the value of --delete.
type deletions struct {
	files bool        // delete the objects of the files
	ids   []calico.ID // delete these objects
}

// Set implements pflag.Value.
func (d *deletions) Set(value string) error {
	switch value {
	case deleteFiles, "true":
		d.files = true
		return nil
	case "false":
		d.files = false
		return nil
	}
	id, err := parseID(value)
	if err == nil {
		d.ids = append(d.ids, id)
	}
	return err
}

// String implements pflag.Value.
func (d *deletions) String() string {
	names := make([]string, len(d.ids))
	for i, id := range d.ids {
		names[i] = id.String()
	}
	return strings.Join(names, ", ")
}

// Type implements pflag.Value.
func (d *deletions) Type() string { return "KIND/NAME" }

// parseID returns the object of KIND/NAME.
func parseID(value string) (calico.ID, error) {
	kind, name, ok := strings.Cut(value, "/")
	if !ok || name == "" {
		return calico.ID{}, fmt.Errorf("must be KIND/NAME, for example bgppeer/rack-1, is %q", value)
	}
	found, err := findKind(kind, func(info calico.Info) bool { return !info.Observation })
	return calico.ID{Kind: found, Name: name}, err
}

// findKind returns the kind that a user names as with kubectl: "BGPPeer", "bgppeer" and "bgppeers", each also with an API group.
// Only kinds for which accepted returns true are known.
func findKind(word string, accepted func(calico.Info) bool) (calico.Kind, error) {
	name, _, _ := strings.Cut(word, ".")
	var known []string
	for _, info := range calico.Kinds() {
		if !accepted(info) {
			continue
		}
		if strings.EqualFold(name, string(info.Kind)) || strings.EqualFold(name, info.Resource) {
			return info.Kind, nil
		}
		known = append(known, string(info.Kind))
	}
	if meant := text.MostLike(name, known); meant != "" {
		return "", fmt.Errorf("unknown kind %q, did you mean %s", word, meant)
	}
	return "", fmt.Errorf("unknown kind %q; known kinds: %s", word, strings.Join(known, ", "))
}

// edit is one change that the flags describe.
type edit struct {
	id calico.ID
	// read is the object of a file, nil for an object that a flag names.
	read   *state.Read
	delete bool
	// patch is a JSON merge patch, nil unless a flag changes the object. flag is its name.
	patch map[string]any
	flag  string
}

// readEdits reads the changes: those of the files in order, then those of --label,
// --annotate, --patch and --delete. It writes notes about the files. It returns an error if a
// file has no object.
func (o *changeOptions) readEdits(stdin io.Reader, stderr io.Writer) ([]edit, error) {
	var out []edit
	if len(o.files) > 0 {
		contents, err := state.ReadChanges(o.files, stdin)
		if err != nil {
			return nil, err
		}
		writeNotes(stderr, contents.Notes)
		if len(contents.Objects) == 0 {
			verb := "apply"
			if o.delete.files {
				verb = "delete"
			}
			return nil, fmt.Errorf("%s: contains no object to %s", strings.Join(o.files, ", "), verb)
		}
		for i := range contents.Objects {
			read := &contents.Objects[i]
			out = append(out, edit{id: read.ID(), read: read, delete: o.delete.files})
		}
	}
	for _, flag := range []struct {
		name   string
		values []string
		parse  func(string) (map[string]any, error)
	}{
		{"label", o.labels, func(text string) (map[string]any, error) { return parseTexts("labels", text) }},
		{"annotate", o.annotations, func(text string) (map[string]any, error) { return parseTexts("annotations", text) }},
		{"patch", o.patches, parsePatch},
	} {
		for _, value := range flag.values {
			target, rest, _ := strings.Cut(value, " ")
			id, err := parseID(target)
			if err != nil {
				return nil, fmt.Errorf("flag --%s: %w", flag.name, err)
			}
			patch, err := flag.parse(strings.TrimSpace(rest))
			if err != nil {
				return nil, fmt.Errorf("flag --%s: %s: %w", flag.name, id, err)
			}
			out = append(out, edit{id: id, patch: patch, flag: flag.name})
		}
	}
	for _, id := range o.delete.ids {
		out = append(out, edit{id: id, delete: true, flag: "delete"})
	}
	return out, nil
}

// parseTexts returns the patch of "KEY=VALUE" and "KEY-", for labels or annotations.
func parseTexts(field, text string) (map[string]any, error) {
	values := map[string]any{}
	for word := range strings.FieldsSeq(text) {
		key, value, set := strings.Cut(word, "=")
		name, removed := strings.CutSuffix(word, "-")
		switch {
		case set && key != "":
			values[key] = value
		case removed && name != "":
			values[name] = nil
		default:
			return nil, fmt.Errorf("must be KEY=VALUE or KEY-, is %q", word)
		}
	}
	if len(values) == 0 {
		return nil, errors.New("KEY=VALUE or KEY- is missing")
	}
	return map[string]any{"metadata": map[string]any{field: values}}, nil
}

// parsePatch reads a JSON merge patch in JSON or YAML.
func parsePatch(text string) (map[string]any, error) {
	if text == "" {
		return nil, errors.New("the patch is missing, for example {\"spec\": {\"asNumber\": 64512}}")
	}
	patch, err := manifest.ParseObject(text)
	if err != nil {
		return nil, fmt.Errorf("the patch is not an object in JSON or YAML: %w", err)
	}
	return patch, nil
}

// changeOf returns the change to s that an edit makes.
func (o *changeOptions) changeOf(s *state.Snapshot, e edit) (state.Change, error) {
	c := state.Change{Before: s.Get(e.id)}
	if c.Before == nil && e.patch != nil {
		return state.Change{}, fmt.Errorf("flag --%s: %s is not in the state", e.flag, e.id)
	}
	if c.Before == nil && e.delete {
		return state.Change{}, fmt.Errorf("%s cannot be deleted: it is not in the state", e.id)
	}
	var err error
	switch {
	case e.delete:
	case e.patch != nil && calico.IsUnparsed(c.Before):
		err = fmt.Errorf("flag --%s: %s in the state does not parse", e.flag, e.id)
	case e.patch != nil:
		if c.After, err = apply.Patch(c.Before, e.patch); err != nil {
			err = fmt.Errorf("flag --%s: %s: %w", e.flag, e.id, err)
		}
	case o.replace:
		if c.After, err = apply.Replace(c.Before, e.read.Document.Object); err != nil {
			err = e.at(err)
		}
	default:
		if c.After, err = apply.Apply(c.Before, e.read.Document.Object); err != nil {
			err = e.at(err)
		}
	}
	return c, err
}

// at returns an error about the object of a file with the file, and the line of the field.
func (e edit) at(err error) error {
	if f, ok := errors.AsType[*calico.FieldError](err); ok {
		return e.read.Document.At(f.Field, fmt.Errorf("%s: %w", e.id, f))
	}
	return e.read.Document.At("", err)
}

// apply returns s after all changes, in order.
func (o *changeOptions) apply(s *state.Snapshot, edits []edit) (*state.Snapshot, error) {
	for _, e := range edits {
		c, err := o.changeOf(s, e)
		if err != nil {
			return nil, err
		}
		s = s.Apply(c)
	}
	return s, nil
}

// decideEach decides on changes to s, each to the state after all before it, also after
// those that are denied: it shows what a set of changes does if all of them are made.
func (o *changeOptions) decideEach(ctx context.Context, engine *validate.Engine, s *state.Snapshot, edits []edit) ([]report.Checked, error) {
	var out []report.Checked
	for _, e := range edits {
		c, err := o.changeOf(s, e)
		if err != nil {
			return nil, err
		}
		out = append(out, report.Checked{Change: c, Decision: engine.Decide(ctx, s, o.request(c)), Source: e.source()})
		s = s.Apply(c)
	}
	return out, nil
}

// readsOf returns the objects of files.
func readsOf(edits []edit) []state.Read {
	var out []state.Read
	for _, e := range edits {
		if e.read != nil {
			out = append(out, *e.read)
		}
	}
	return out
}

// source returns the file and lines of the object of an edit.
func (e edit) source() report.Source {
	if e.read == nil {
		return report.Source{}
	}
	return sourceOf(e.read)
}

// request returns the request of the user of --as to make a change. The user is in the
// groups that the API server adds, so every command makes the decision of the webhook.
func (o *changeOptions) request(c state.Change) validate.Request {
	return validate.Request{Change: c, User: o.user, Groups: validate.ImpersonatedGroups(o.user, o.groups)}
}
