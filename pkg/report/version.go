package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Version says which program this is, and which Calico it knows.
type Version struct {
	// Version is that of bgpguard, "dev" for a build without one. Commit is the Git commit,
	// "unknown" if the build has none.
	Version string `json:"version"`
	Commit  string `json:"commit"`
	// GoVersion and Platform are those of the Go toolchain: "go1.26.8" and "linux/amd64".
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
	// CalicoAPIVersions are the API versions of Calico's objects that bgpguard reads.
	CalicoAPIVersions []string `json:"calicoAPIVersions"`
	// CalicoAPI is the version of the module with Calico's types.
	CalicoAPI string `json:"calicoAPI"`
}

// writeVersionText writes one line per field.
func writeVersionText(w io.Writer, v *Version) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"Version", v.Version},
		{"Commit", v.Commit},
		{"Go", v.GoVersion + " " + v.Platform},
		{"Calico API", strings.Join(v.CalicoAPIVersions, ", ") + " (module " + v.CalicoAPI + ")"},
	} {
		fmt.Fprintf(t, "%s:\t%s\n", row[0], row[1])
	}
	return t.Flush()
}
