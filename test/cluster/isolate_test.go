//go:build system && linux

package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// interrupted is the exit code after Ctrl-C, as in a shell.
const interrupted = 130

// missing returns an error that names what the tests need and do not find. They fail instead of being skipped.
func missing() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("test/cluster makes namespaces and mounts, which user %d may not: run as root", os.Geteuid())
	}
	for _, need := range [][2]string{{"runc", "runc"}, {"nft", "nftables"}, {"ip", "iproute2"}, {"nsenter", "util-linux"}} {
		if _, err := exec.LookPath(need[0]); err != nil {
			return fmt.Errorf("test/cluster needs %s: apt-get install %s", need[0], need[1])
		}
	}
	return nil
}

// isolate runs the tests in namespaces and cgroups of their own. When it returns, nothing of the cluster is left: no
// process, mount, interface, cgroup or file.
func isolate() (code int, err error) {
	if err := missing(); err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, unix.SIGTERM, unix.SIGHUP)

	// The path is short, because the paths of sockets are limited to 107 bytes.
	state, err := os.MkdirTemp("", "bgpguard-cluster-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
	groups, err := newGroups(fmt.Sprintf("bgpguard-cluster-%d", os.Getpid()))
	defer func() { err = errors.Join(err, groups.remove()) }()
	if err != nil {
		return 0, err
	}

	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	command := exec.Command(program, os.Args[1:]...)
	command.Env = append(os.Environ(), stageVariable+"="+stageInit, stateVariable+"="+state)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	left, err := command.StdinPipe() // Closed when this process has left the cgroups.
	if err != nil {
		return 0, err
	}
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP,
		// If this process is killed, so is the cluster.
		Pdeathsig: unix.SIGKILL,
		// Ctrl-C reaches this process only, which then kills the others.
		Setpgid: true,
	}
	// The death of the thread that starts a process counts as that of its parent.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The root of a new cgroup namespace is the cgroup of the process that makes it.
	if err := groups.enter(); err != nil {
		return 0, err
	}
	started := command.Start()
	if err := errors.Join(started, groups.leave(), left.Close()); err != nil {
		if started == nil {
			_ = command.Process.Kill()
			_ = command.Wait()
		}
		return 0, err
	}

	ended := make(chan struct{})
	go func() {
		err = command.Wait()
		close(ended)
	}()
	select {
	case <-signals:
		_ = command.Process.Kill() // It may have ended at this moment.
		<-ended
		return interrupted, errors.New("interrupted")
	case <-ended:
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
			return exit.ExitCode(), nil
		}
		return 0, err
	}
}

// initialize prepares the namespaces, runs the tests and returns their exit code. As process 1 it also waits for
// processes whose parents have ended.
func initialize() (int, error) {
	// In version 2, a cgroup with processes cannot give controllers to others.
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 0, err
	}
	if err := prepareMounts(os.Getenv(stateVariable)); err != nil {
		return 0, err
	}
	if err := ip(exec.Command, "link set lo up", "link add "+bridge+" type bridge", "address add "+bridgeAddress+" dev "+bridge,
		"link set "+bridge+" up"); err != nil {
		return 0, err
	}
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Env = append(os.Environ(), stageVariable+"="+stageTests)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Start(); err != nil {
		return 0, err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for the tests: %w", err)
		case pid != command.Process.Pid:
		case status.Signaled():
			return 0, fmt.Errorf("the tests were ended by %s", status.Signal())
		default:
			return status.ExitStatus(), nil
		}
	}
}

// prepareMounts gives the new namespaces their own /proc, /sys and cgroups, and keeps the kubelets from changing
// settings of the whole machine.
func prepareMounts(state string) error {
	const options = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := mountAll([]mount{{target: "/", flags: unix.MS_REC | unix.MS_PRIVATE}}); err != nil {
		return err
	}
	// The cgroups below the old /sys would still be in the table of mounts.
	if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount /sys: %w", err)
	}
	if err := mountAll([]mount{
		{source: "proc", target: "/proc", kind: "proc", flags: options},
		{source: "sysfs", target: "/sys", kind: "sysfs", flags: options | unix.MS_RDONLY},
	}); err != nil {
		return err
	}
	if err := mountGroups(); err != nil {
		return err
	}
	return protectSettings(filepath.Join(state, "settings"))
}

// settings are values below /proc/sys that a kubelet writes if it finds others (pkg/kubelet/cm/container_manager_linux.go).
// They are not of a namespace, so the kubelets read these files instead.
var settings = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

func protectSettings(dir string) error {
	for name, value := range settings {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
			return err
		}
		if err := mountAll([]mount{{source: file, target: "/proc/sys/" + name, flags: unix.MS_BIND}}); err != nil {
			return err
		}
	}
	return nil
}

// mount is one call of mount(2).
type mount struct {
	source, target, kind, data string
	flags                      uintptr
}

// mountAll mounts one after the other.
func mountAll(mounts []mount) error {
	for _, m := range mounts {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s %q at %s: %w", m.kind, m.source, m.target, err)
		}
	}
	return nil
}
