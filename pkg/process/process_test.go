package process

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLogFormats(t *testing.T) {
	tests := map[string]struct{ format, level, want string }{
		"JSON":                        {LogJSON, "info", `"level":"INFO","msg":"hello","name":"a"}` + "\n"},
		"text":                        {LogText, "info", `level=INFO msg=hello name=a` + "\n"},
		"info is dropped at error":    {LogText, "error", ``},
		"details are logged at debug": {LogText, "debug", "level=INFO msg=hello name=a\n|level=DEBUG+3 msg=details\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			log := NewLogger(&out, test.format, test.level)
			log.Info("hello", "name", "a")
			log.V(1).Info("details")
			var got []string
			for line := range strings.Lines(out.String()) {
				// The time comes first.
				_, line, _ = strings.Cut(line, map[string]string{LogJSON: ",", LogText: " "}[test.format])
				got = append(got, line)
			}
			if strings.Join(got, "|") != test.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestEveryLogLevelIsKnown(t *testing.T) {
	for _, level := range LogLevels {
		if _, known := levels[level]; !known {
			t.Errorf("level %s is not known", level)
		}
	}
	if len(levels) != len(LogLevels) {
		t.Errorf("%d levels, %d of them listed", len(levels), len(LogLevels))
	}
}

func TestBindAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"0": true, ":8443": true, "127.0.0.1:0": true, "[::1]:8081": true, "localhost:65535": true,
		"": false, "localhost": false, ":65536": false, ":-1": false, ":https": false, "::1": false,
	} {
		t.Run(address, func(t *testing.T) {
			if got := IsBindAddress(address); got != want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.1.2.3": true, "::1": true,
		"": false, "0.0.0.0": false, "::": false, "10.0.0.1": false, "example.com": false, "localhost.example.com": false,
	} {
		t.Run(host, func(t *testing.T) {
			if got := IsLoopback(host); got != want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestNamespace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "namespace")
	check := func(given, want string) {
		t.Helper()
		if got := namespace(given, file); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	t.Setenv("POD_NAMESPACE", "")
	check("", "bgpguard-system")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("", "from-file")
	t.Setenv("POD_NAMESPACE", "from-env")
	check("", "from-env")
	check("from-flag", "from-flag")
}

func TestTheSchemeKnowsBGPPolicies(t *testing.T) {
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for kind := range scheme.AllKnownTypes() {
		if kind.Group == "policy.bgpguard.io" || kind.Kind == "Node" {
			kinds = append(kinds, kind.Kind)
		}
	}
	for _, want := range []string{"BGPPolicy", "BGPPolicyList", "Node"} {
		if !slices.Contains(kinds, want) {
			t.Errorf("the scheme lacks %s", want)
		}
	}
}
