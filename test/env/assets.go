package env

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// module is the first line of the go.mod in the root of the repository.
const module = "module github.com/bgpguard/bgpguard\n"

// Root returns the root of the repository that contains the current directory.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), module) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside a checkout of bgpguard", start)
		}
	}
}

// ControlPlane holds the paths of the programs of a control plane.
type ControlPlane struct{ Etcd, APIServer, Kubectl string }

// FindControlPlane finds the programs in KUBEBUILDER_ASSETS if it is set, else in bin/controlplane below the root of the
// repository.
func FindControlPlane(root string) (ControlPlane, error) {
	dir, remedy := filepath.Join(root, "bin", "controlplane"), "run `make controlplane`"
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		dir, remedy = assets, "correct KUBEBUILDER_ASSETS, or unset it and run `make controlplane`"
	}
	found := ControlPlane{
		Etcd:      filepath.Join(dir, "etcd"),
		APIServer: filepath.Join(dir, "kube-apiserver"),
		Kubectl:   filepath.Join(dir, "kubectl"),
	}
	for _, path := range []string{found.Etcd, found.APIServer, found.Kubectl} {
		if err := Need(path, remedy); err != nil {
			return ControlPlane{}, err
		}
	}
	return found, nil
}

// findCRDs returns the directory of the CRDs of each group.
func findCRDs(root string, groups []Group) ([]string, error) {
	folders := make([]string, len(groups))
	for i, group := range groups {
		folders[i] = filepath.Join(root, "bin", "crds", string(group))
		if err := Need(folders[i], "run `make crds`"); err != nil {
			return nil, err
		}
	}
	return folders, nil
}

// Need returns an error with a remedy if a file does not exist.
func Need(path, remedy string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: %s", path, remedy)
	} else if err != nil {
		return err
	}
	return nil
}
