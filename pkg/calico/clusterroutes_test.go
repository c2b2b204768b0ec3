package calico_test

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

func TestAnUnknownValueOfProgramClusterRoutesIsReported(t *testing.T) {
	for _, kind := range []calico.Kind{calico.KindBGPConfiguration, calico.KindFelixConfiguration} {
		for value, want := range map[string]string{
			"EnabledIPIPOnly": "",
			"enabled":         `spec.programClusterRoutes: "enabled" is none of Enabled, Disabled, EnabledIPIPOnly, EnabledNoEncapOnly, so Calico uses its default`,
		} {
			got := ""
			for _, p := range calicotest.Object(t, kind, "default", map[string]any{"programClusterRoutes": value}).Problems() {
				got += p.String()
			}
			if got != want {
				t.Errorf("%s with %s: got %q, want %q", kind, value, got, want)
			}
		}
	}
}
