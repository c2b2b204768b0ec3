package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
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
		Short: "Save the state of a running cluster to a file",
		Long: `Save the state of a running cluster to a file, which "bgpguard check --state" and
"bgpguard topology -f" read: Nodes, BGPConfigurations, BGPPeers, BGPFilters, IPPools,
FelixConfigurations, ClusterInformations, CalicoNodeStatuses, IPAMBlocks, and the
Installations of tigera-operator.

The command only lists objects, with the permissions of your kubeconfig. If you may
not list BGPFilters, CalicoNodeStatuses or IPAMBlocks, they are skipped; so is an object
that is invalid. A note on stderr and in the file reports each of them.

The file contains only the fields that affect BGP and no Secrets, only the names of
those that BGPPeers refer to: of each object the name, labels, annotations and spec;
of a Node the labels, the annotations for BGP and whether it is ready; of a
CalicoNodeStatus everything except the routes; of an IPAMBlock the CIDR, its node,
whether pods there have addresses of it, and which addresses of it are on other nodes.

The file describes your network, so only its owner can read it. It is written
atomically. Two snapshots of the same state differ only in the comment at the top.

Exit code: 0 success, 2 no file was written.`,
		Example: `  bgpguard snapshot -o state.yaml
  bgpguard snapshot --context prod -o - | bgpguard topology -f -
  bgpguard check -f change.yaml --state state.yaml`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	o.add(f)
	f.StringVar(&o.context, "context", "", "`name` of the kubeconfig context (default: the current context)")
	f.StringVarP(&o.output, "output", "o", "", "`file` to write, with the extension .yaml or .yml, or - (stdout)")
	return endsItself(cmd)
}

func (o *snapshotOptions) validate() error {
	if o.output == "" {
		return errors.New("flag -o is required: the file to write, or - for stdout")
	}
	// With kubectl, -o is a format. "-o json" must not write a file named json.
	if o.output != manifest.Stdin && !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(o.output)) {
		return fmt.Errorf("flag -o must be a file with the extension .yaml or .yml, or - for stdout, is %q", o.output)
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
	if err := writeAtomically(o.output, text); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "wrote %s: %s\n", o.output, strings.Join(counts(reading), ", "))
	return err
}

// snapshotText returns the content of a snapshot file: a comment and a YAML document for
// each object.
func snapshotText(name string, at time.Time, r *cluster.Reading) ([]byte, error) {
	var b bytes.Buffer
	comment := func(format string, args ...any) {
		b.WriteString("# " + text.Clean(fmt.Sprintf(format, args...)) + "\n")
	}
	comment("BGP state of %s, read at %s by bgpguard %s.", name, at.UTC().Format(time.RFC3339), version)
	comment("%s.", strings.Join(counts(r), ", "))
	for _, u := range r.Unread {
		comment("Note: %s.", u)
	}
	for object := range r.Manifests() {
		b.WriteString("---\n")
		e := yaml.NewEncoder(&b)
		e.SetIndent(2)
		e.CompactSeqIndent() // kubectl writes lists in this way.
		if err := errors.Join(e.Encode(object), e.Close()); err != nil {
			return nil, fmt.Errorf("writing an object as YAML: %w", err)
		}
	}
	return b.Bytes(), nil
}

// counts returns the number of objects of each kind, in the order of the file.
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

// writeAtomically writes a file that only its owner can read. Other processes see the old
// file or the complete new one, even after a crash.
func writeAtomically(path string, data []byte) (err error) {
	f, err := renameio.TempFile(filepath.Dir(path), path)
	if err != nil {
		return plainPath(err)
	}
	defer func() { err = errors.Join(err, f.Cleanup()) }()
	if _, err := f.Write(data); err != nil {
		return plainPath(err)
	}
	return f.CloseAtomicallyReplace()
}
