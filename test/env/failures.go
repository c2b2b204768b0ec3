package env

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Component is a process of the control plane.
type Component string

// The processes of a control plane.
const (
	Etcd      Component = "etcd"
	APIServer Component = "kube-apiserver"
)

// pid returns the process ID of a component: the child of this process that uses its directory.
func (e *Environment) pid(c Component) (int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	directory := []byte(filepath.Join(e.scratch, string(c)))
	for _, file := range files {
		// Processes end at any moment.
		text, err := os.ReadFile(file)
		if err != nil || !bytes.HasPrefix(text, []byte(e.path(c)+"\x00")) || !bytes.Contains(text, directory) {
			continue
		}
		return strconv.Atoi(filepath.Base(filepath.Dir(file)))
	}
	return 0, fmt.Errorf("no %s runs", c)
}

func (e *Environment) runs(c Component) bool {
	_, err := e.pid(c)
	return err == nil
}

func (e *Environment) path(c Component) string {
	if c == Etcd {
		return e.plane.ControlPlane.Etcd.Path
	}
	return e.plane.ControlPlane.APIServer.Path
}

// Pause stops a component with SIGSTOP, as a disk that hangs does. The returned function continues it.
func (e *Environment) Pause(c Component) (resume func() error, err error) {
	pid, err := e.pid(c)
	if err != nil {
		return nil, err
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return nil, fmt.Errorf("stop %s: %w", c, err)
	}
	return sync.OnceValue(func() error { return syscall.Kill(pid, syscall.SIGCONT) }), nil
}

// KillAPIServer ends the API server with SIGKILL. After SIGTERM it waits up to a minute for its clients.
func (e *Environment) KillAPIServer() error {
	pid, err := e.pid(APIServer)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the API server: %w", err)
	}
	for range 100 {
		if !e.runs(APIServer) {
			return nil
		}
		time.Sleep(pollInterval)
	}
	return fmt.Errorf("the API server, process %d, still runs", pid)
}

// StartAPIServer starts the API server again after KillAPIServer, at the same address and with the same certificates. It
// returns when the API server is healthy.
func (e *Environment) StartAPIServer() error {
	if err := e.plane.ControlPlane.APIServer.Start(); err != nil {
		return fmt.Errorf("start the API server again: %w\n%s", err, e.controlPlaneLogs())
	}
	return nil
}
