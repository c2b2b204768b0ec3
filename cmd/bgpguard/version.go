package main

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/report"
)

// commit is set by the linker.
var commit string

func newVersion() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version of bgpguard",
		Long: `Show the version and the commit of bgpguard, the version of Go that it was built with,
and the versions of Calico's API that it reads.

Exit code: 0 success, 2 invalid flags.`,
		Example: `  bgpguard version
  bgpguard version -o json | jq -r .version`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return writeFormat(cmd.OutOrStdout(), report.VersionFormats, output, thisVersion())
		},
	}
	addOutput(cmd, &output, report.VersionFormats)
	return cmd
}

// thisVersion returns the version of this program. "go install" sets no variables, but records
// the version of the module, and "go build" in a clone the commit.
func thisVersion() *report.Version {
	const unknown = "unknown"
	out := &report.Version{
		Version: version, Commit: commit,
		GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CalicoAPIVersions: calico.APIVersions,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" && info.Main.Version != "(devel)" && version == "dev" {
			out.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				out.Commit = cmp.Or(out.Commit, s.Value)
			}
		}
		for _, m := range info.Deps {
			if m.Path == "github.com/projectcalico/api" {
				out.CalicoAPI = m.Version
			}
		}
	}
	out.Commit, out.CalicoAPI = cmp.Or(out.Commit, unknown), cmp.Or(out.CalicoAPI, unknown)
	return out
}
