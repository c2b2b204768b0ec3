package report

import (
	"bytes"
	"fmt"
	"io"

	"github.com/bgpguard/bgpguard/pkg/openreports"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// clusterAnnotation holds the cluster of a report if several clusters are audited.
const clusterAnnotation = "bgpguard.io/cluster"

// writeAuditOpenReports writes the reports that the webhook would write as YAML
// documents, for clusters without the webhook. Reports of different clusters have equal
// names. Comments list clusters and policies without a report.
func writeAuditOpenReports(w io.Writer, r *Audit) error {
	var out bytes.Buffer
	for _, u := range r.Unread {
		fmt.Fprintf(&out, "# No report for cluster %s, which could not be read: %s\n", clean(u.Cluster), clean(u.Message))
	}
	for _, a := range r.Clusters {
		for _, f := range a.Failures {
			if !a.InForce(f.Policy) {
				fmt.Fprintf(&out, "# No report for policy %s of %s, which could not be evaluated: %s\n", clean(f.Policy), auditOf(a), clean(f.Message))
			}
		}
		for _, report := range openreports.Reports(a, openreports.References) {
			o := openreports.ClusterReport.Object(report)
			if a.Cluster != "" {
				annotations := o.GetAnnotations()
				if annotations == nil {
					annotations = map[string]string{}
				}
				annotations[clusterAnnotation] = a.Cluster
				o.SetAnnotations(annotations)
			}
			out.WriteString("---\n")
			if err := text.YAML(&out, o.Object); err != nil {
				return err
			}
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}
