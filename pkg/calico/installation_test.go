package calico_test

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

func TestRunsBIRD(t *testing.T) {
	decode := func(spec calicotest.Spec, tweaks ...calicotest.Tweak) *calico.Installation {
		if spec == nil {
			return nil
		}
		i, _ := calicotest.Object(t, calico.KindInstallation, calico.Default, spec, tweaks...).(*calico.Installation)
		return i
	}
	bgp := func(value string) calicotest.Spec {
		return calicotest.Spec{"calicoNetwork": calicotest.Spec{"bgp": value}}
	}
	for name, test := range map[string]struct {
		spec, overlay calicotest.Spec
		tweaks        []calicotest.Tweak
		want          bool
	}{
		"no Installation":               {want: true},
		"an overlay alone":              {overlay: bgp("Disabled"), want: true},
		"the default":                   {spec: calicotest.Spec{}, want: true},
		"Enabled":                       {spec: bgp("Enabled"), want: true},
		"Disabled":                      {spec: bgp("Disabled")},
		"the overlay turns it on":       {spec: bgp("Disabled"), overlay: bgp("Enabled"), want: true},
		"the overlay turns it off":      {spec: bgp("Enabled"), overlay: bgp("Disabled")},
		"the overlay leaves it":         {spec: bgp("Disabled"), overlay: calicotest.Spec{}},
		"EKS":                           {spec: calicotest.Spec{"kubernetesProvider": "EKS"}},
		"EKS with Calico's CNI plugin":  {spec: calicotest.Spec{"kubernetesProvider": "EKS", "cni": calicotest.Spec{"type": "Calico"}}},
		"AKS":                           {spec: calicotest.Spec{"kubernetesProvider": "AKS"}},
		"GKE":                           {spec: calicotest.Spec{"kubernetesProvider": "GKE"}},
		"AKS with Calico's CNI plugin":  {spec: calicotest.Spec{"kubernetesProvider": "AKS", "cni": calicotest.Spec{"type": "Calico"}}, want: true},
		"OpenShift":                     {spec: calicotest.Spec{"kubernetesProvider": "OpenShift"}, want: true},
		"another CNI plugin":            {spec: calicotest.Spec{"cni": calicotest.Spec{"type": "AmazonVPC"}}},
		"the Installation is ending":    {spec: bgp("Enabled"), tweaks: []calicotest.Tweak{calicotest.DeletionTimestamp}},
		"the value of another CNI wins": {spec: calicotest.Spec{"cni": calicotest.Spec{"type": "AmazonVPC"}, "calicoNetwork": calicotest.Spec{"bgp": "Enabled"}}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decode(test.spec, test.tweaks...).RunsBIRD(decode(test.overlay)); got != test.want {
				t.Errorf("calico-node runs BIRD: %v, want %v", got, test.want)
			}
		})
	}
}

func TestDisables(t *testing.T) {
	pool := func(spec calicotest.Spec) calico.Object {
		if spec == nil {
			return nil
		}
		return calicotest.IPPool(t, "a", spec)
	}
	enabled, disabled := calicotest.Spec{"cidr": "10.0.0.0/8"}, calicotest.Spec{"cidr": "10.0.0.0/8", "disabled": true}
	for name, test := range map[string]struct {
		before, after calicotest.Spec
		want          bool
	}{
		"disabled":          {enabled, disabled, true},
		"from false":        {calicotest.Spec{"cidr": "10.0.0.0/8", "disabled": false}, disabled, true},
		"with another CIDR": {enabled, calicotest.Spec{"cidr": "10.0.0.0/9", "disabled": true}, false},
		"with a field":      {enabled, calicotest.Spec{"cidr": "10.0.0.0/8", "disabled": true, "disableBGPExport": true}, false},
		"without a field":   {calicotest.Spec{"cidr": "10.0.0.0/8", "natOutgoing": true}, disabled, false},
		"enabled":           {disabled, enabled, false},
		"already disabled":  {disabled, disabled, false},
		"a new one":         {nil, disabled, false},
		"deleted":           {enabled, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := calico.Disables(pool(test.before), pool(test.after)); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
