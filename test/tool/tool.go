// Package tool gives tests the programs of bin/tools. A program that is missing is built, so that `go test ./...`
// works on a fresh clone.
package tool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Path returns the absolute path of the program of that name in bin/tools. If it does not exist, Path builds it with
// make, which takes up to three minutes, and says so on stderr. Test binaries that run at the same time wait for
// each other.
func Path(name string) (string, error) {
	root, err := findRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", "tools", name)
	if exists(path) {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(root, "bin", "tools", ".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(path) { // Another test binary has built it.
		return path, nil
	}
	target := filepath.Join("bin", "tools", name)
	fmt.Fprintf(os.Stderr, "building %s, which takes up to three minutes\n", target)
	build := exec.Command("make", "-C", root, target)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make %s: %w\n%s", target, err, bytes.TrimSpace(out))
	}
	return path, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// lock takes an exclusive lock on a file, which the kernel releases if the process ends.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// findRoot returns the root of the module that the current folder belongs to.
func findRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in %s or a folder above it", start)
		}
	}
}
