package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// readyTimeout is how long a process may take to create its certificate and to fill its caches.
	readyTimeout = time.Minute
	// drainTimeout is how long a process may take to answer open requests before it is killed.
	drainTimeout = 20 * time.Second
	pollInterval = 20 * time.Millisecond
)

// Process is a running process of bgpguard, or of the cluster that it runs in.
type Process struct {
	// LogFile is the file with the output of the process.
	LogFile string
	// Pid is its process ID.
	Pid int
	// Group is the cgroup that limits the memory of the process and its children, nil if there is none.
	Group *MemoryGroup

	name    string // in errors
	command *exec.Cmd
	exited  chan struct{} // closed when the process has ended, after exit is set
	exit    error
	killed  bool // Stop returns no error
}

// startProcess starts a program with further environment variables, in a cgroup unless group is nil. The environment stops
// the program at the end.
func (e *Environment) startProcess(ctx context.Context, name string, group *MemoryGroup, binary string, variables, args []string) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if group != nil {
		binary, args = group.wrap(binary, args)
	}
	command := exec.Command(binary, args...)
	command.Env = append(environment(), variables...)
	p, err := Launch(e.Dir, name, command)
	if err != nil {
		return nil, err
	}
	p.Group = group
	e.mu.Lock()
	defer e.mu.Unlock()
	e.processes = append(e.processes, p)
	return p, nil
}

// awaitReady returns when /readyz at a URL succeeds. Otherwise it ends the process and returns an error with its log.
func (p *Process) awaitReady(ctx context.Context, probes string) error {
	err := p.waitReady(ctx, probes+"/readyz")
	if err != nil {
		// The error contains the log, and the exit status if the process ended by itself.
		_ = p.Stop()
		p.killed = true // Nothing is left to report at the end.
	}
	return err
}

// Launch starts a process with a log file of its own in a directory. The caller must stop it.
func Launch(dir, name string, command *exec.Cmd) (*Process, error) {
	log, err := os.CreateTemp(dir, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close() // The child has its own handle.

	p := &Process{name: name, LogFile: log.Name(), command: command, exited: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = log, log
	// In a process group of its own: an interrupt from the terminal stops it through Stop, like the rest of the
	// environment, and not while the test or the demo still needs it.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	p.Pid = p.command.Process.Pid
	go func() {
		p.exit = p.command.Wait()
		close(p.exited)
	}()
	return p, nil
}

// waitReady waits until the readiness probe succeeds.
func (p *Process) waitReady(ctx context.Context, probe string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var reason error // without that of ctx
	for {
		last := get(ctx, probe)
		if last == nil {
			return nil
		}
		if ctx.Err() == nil {
			reason = last
		}
		select {
		case <-p.exited:
			return fmt.Errorf("the %s ended before it was ready (%s); the end of its log:\n%s", p.name, p.command.ProcessState, p.Log())
		case <-ctx.Done():
			if reason == nil {
				reason = last
			}
			return fmt.Errorf("the %s did not become ready: %w (%w); the end of its log:\n%s", p.name, ctx.Err(), reason, p.Log())
		case <-ticker.C:
		}
	}
}

// get returns nil when the URL answers with 200.
func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		reasons, err := io.ReadAll(response.Body)
		return errors.Join(fmt.Errorf("%s: %s: %s", url, response.Status, reasons), err)
	}
	return nil
}

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Log returns the end of the output of the process.
func (p *Process) Log() string {
	return tail(p.LogFile)
}

// Kill ends the process with SIGKILL, as the kernel does when memory is short.
func (p *Process) Kill() {
	p.killed = true
	_ = p.command.Process.Kill() // It may have ended by itself at any moment.
	<-p.exited
}

// Stop sends SIGTERM to the process, waits until it has ended, and returns an error if it failed. It may be called more
// than once, and returns nil after Kill.
func (p *Process) Stop() error {
	if p.killed {
		return nil
	}
	_ = p.command.Process.Signal(syscall.SIGTERM) // It may have ended by itself at any moment.
	select {
	case <-p.exited:
	case <-time.After(drainTimeout):
		_ = p.command.Process.Kill()
		<-p.exited
		return fmt.Errorf("the %s did not end within %s of SIGTERM and was killed; the end of its log:\n%s", p.name, drainTimeout, p.Log())
	}
	if p.exit != nil {
		return fmt.Errorf("the %s: %w; the end of its log:\n%s", p.name, p.exit, p.Log())
	}
	return nil
}
