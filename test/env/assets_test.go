package env

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMissingFilesAreNamedWithTheirRemedy(t *testing.T) {
	root := t.TempDir()
	partial := t.TempDir()
	if err := os.WriteFile(filepath.Join(partial, "etcd"), nil, 0o700); err != nil {
		t.Fatal(err)
	}

	tests := map[string]struct {
		assets string
		find   func() error
		want   string
	}{
		"no control plane was built": {
			find: func() error { _, err := FindControlPlane(root); return err },
			want: root + "/bin/controlplane/etcd is missing: run `make controlplane`",
		},
		"KUBEBUILDER_ASSETS holds only a part of a control plane": {
			assets: partial,
			find:   func() error { _, err := FindControlPlane(root); return err },
			want: partial + "/kube-apiserver is missing: correct KUBEBUILDER_ASSETS, " +
				"or unset it and run `make controlplane`",
		},
		"the CRDs of a group were not generated": {
			find: func() error { _, err := findCRDs(root, []Group{GroupV3}); return err },
			want: root + "/bin/crds/v3 is missing: run `make crds`",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBEBUILDER_ASSETS", test.assets)
			if err := test.find(); err == nil || err.Error() != test.want {
				t.Errorf("\n got: %v\nwant: %s", err, test.want)
			}
		})
	}
}
