package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/text"
)

type snapshotOptions struct {
	clusterOptions

	context, output string
}

func newSnapshot() *cobra.Command {
	var o snapshotOptions
	cmd := &cobra.Command{
		Use:   "snapshot -o FILE",
		Short: "Save what decides a cluster's BGP into a file, for work without the cluster",
		Long: `Save the objects that decide a cluster's BGP into a file, which "check --state" and
"topology -f" read: Nodes, BGPConfigurations, BGPPeers, BGPFilters, IPPools,
FelixConfigurations and ClusterInformations, and CalicoNodeStatuses.

The cluster is only read, as the user of the kubeconfig, who needs the right to list
these kinds. BGPFilters and CalicoNodeStatuses that may not be listed are left out, and
so is an object that does not parse; a note says so, here and in the file.

The file holds no Secret, only the names of those that are referred to. Of each object
it has name, labels, annotations and spec; of a Node the labels, the annotations that
decide BGP and whether it is ready; of a CalicoNodeStatus all but the routes. It
describes a network: nobody but its owner may read it, and it appears whole or not at
all. Two snapshots of the same state differ in the comment on top only.

Exit code: 0 saved, 2 not saved.`,
		Example: `  bgpguard snapshot -o state.yaml
  bgpguard snapshot --context prod -o - | bgpguard topology -f -
  bgpguard check -f change.yaml --state state.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	o.add(f)
	f.StringVar(&o.context, "context", "", "`name` of the context of the kubeconfig (default: the current one)")
	f.StringVarP(&o.output, "output", "o", "", "`file` to write, which ends in .yaml or .yml, or - (stdout)")
	return cmd
}

func (o *snapshotOptions) validate() error {
	if o.output == "" {
		return errors.New("flag -o is required: the file to write, or - for stdout")
	}
	// kubectl's -o names a format: a file "json" is not what was meant.
	if o.output != manifest.Stdin && !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(o.output)) {
		return fmt.Errorf("flag -o must be a file that ends in .yaml or .yml, or - for stdout, is %q", o.output)
	}
	return nil
}

func (o *snapshotOptions) run(ctx context.Context, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	live, err := o.find(o.context)
	if err != nil {
		return err
	}
	began := time.Now()
	reading, err := live.read(ctx, stderr)
	if err != nil {
		return err
	}
	for _, u := range reading.Unread {
		fmt.Fprintln(stderr, "note:", text.Clean(u.String()))
	}
	text, err := snapshotText(live.String(), began, reading)
	if err != nil {
		return err
	}
	if o.output == manifest.Stdin {
		_, err := stdout.Write(text)
		return err
	}
	if err := writeWhole(o.output, text); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "wrote %s: %s\n", o.output, strings.Join(counts(reading), ", "))
	return err
}

// snapshotText is the file of what was read of a cluster at a time: a comment and
// a YAML document for each object.
func snapshotText(name string, at time.Time, r *cluster.Reading) ([]byte, error) {
	var b bytes.Buffer
	comment := func(format string, args ...any) {
		b.WriteString("# " + text.Clean(fmt.Sprintf(format, args...)) + "\n")
	}
	comment("What decides BGP in %s, read at %s by bgpguard %s.", name, at.UTC().Format(time.RFC3339), version)
	comment("%s.", strings.Join(counts(r), ", "))
	for _, u := range r.Unread {
		comment("Note: %s.", u)
	}
	for object := range r.Manifests() {
		b.WriteString("---\n")
		e := yaml.NewEncoder(&b)
		e.SetIndent(2)
		e.CompactSeqIndent() // As kubectl writes lists.
		if err := errors.Join(e.Encode(object), e.Close()); err != nil {
			return nil, fmt.Errorf("writing an object as YAML: %w", err)
		}
	}
	return b.Bytes(), nil
}

// counts says how many objects of each kind were read, in the order of the file.
func counts(r *cluster.Reading) []string {
	var out []string
	for rest := r.Objects; len(rest) > 0; {
		kind := rest[0].ID().Kind
		n := slices.IndexFunc(rest, func(o calico.Object) bool { return o.ID().Kind != kind })
		if n < 0 {
			n = len(rest)
		}
		out = append(out, text.Count(n, string(kind), plural(string(kind))))
		rest = rest[n:]
	}
	if out == nil {
		return []string{"no object"}
	}
	return out
}

func plural(kind string) string {
	if strings.HasSuffix(kind, "s") {
		return kind + "es"
	}
	return kind + "s"
}

// writeWhole writes a file that only its owner may read, and that others see whole
// or not at all: a reader never finds half of it, and an old one stays until the
// new one is on the disk.
func writeWhole(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return plainPath(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(plainPath(err), os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
