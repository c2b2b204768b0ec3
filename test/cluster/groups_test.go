//go:build system && linux

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	groupRoot = "/sys/fs/cgroup"
	// removeTimeout is how long the kernel may take to empty a cgroup whose processes have been killed.
	removeTimeout = 10 * time.Second
)

// hierarchy is a hierarchy of cgroups, and the cgroup of a process in it. Version 2 has one hierarchy for all
// controllers, version 1 one for each controller or a few of them.
type hierarchy struct {
	controllers string // of version 1, such as "cpu,cpuacct" or "name=systemd"; "" is version 2
	path        string // of the cgroup
}

// hierarchies returns the hierarchies that hold the controllers, with the cgroups of this process. With version 1, they do not
// include a hierarchy of version 2, which then has no controllers.
func hierarchies() ([]hierarchy, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var all []hierarchy
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path
		if len(fields) != 3 {
			return nil, fmt.Errorf("/proc/self/cgroup: %q", line)
		}
		all = append(all, hierarchy{controllers: fields[1], path: fields[2]})
	}
	if len(all) > 1 {
		all = slices.DeleteFunc(all, func(h hierarchy) bool { return h.controllers == "" })
	}
	return all, nil
}

// mounted returns the directory of the hierarchy's own cgroup, and that of its root.
func (h hierarchy) mounted() (own, root string, err error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(text)) {
		// See proc_pid_mountinfo(5): ID, parent, device, root, mount point, options, -, type, source, super options.
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if len(place) < 5 || len(kind) < 3 {
			continue
		}
		found := h.controllers == "" && kind[0] == "cgroup2" || h.controllers != "" && kind[0] == "cgroup"
		for controller := range strings.SplitSeq(h.controllers, ",") {
			found = found && (controller == "" || slices.Contains(strings.Split(kind[2], ","), controller))
		}
		if !found {
			continue
		}
		below, err := filepath.Rel(place[3], h.path)
		return filepath.Join(place[4], below), place[4], err
	}
	return "", "", fmt.Errorf("the cgroups of %q are not mounted", h.controllers)
}

// groups are the cgroups of the cluster, one in each hierarchy.
type groups struct {
	dirs    []string
	origins []string // the cgroups of this process
}

// newGroups makes the cgroups. The caller must remove them, also after an error.
func newGroups(name string) (*groups, error) {
	all, err := hierarchies()
	if err != nil {
		return &groups{}, err
	}
	g := &groups{}
	for _, h := range all {
		own, root, err := h.mounted()
		if err != nil {
			return g, err
		}
		parent := own
		if h.controllers == "" {
			// A cgroup of version 2 that has processes cannot give controllers to others, unless it is the root.
			parent = root
			if err := delegate(parent, needed); err != nil {
				return g, err
			}
		}
		dir := filepath.Join(parent, name)
		g.dirs, g.origins = append(g.dirs, dir), append(g.origins, own)
		if err := makeGroup(dir); err != nil {
			return g, err
		}
	}
	return g, nil
}

// makeGroup makes a cgroup. In version 1, no process can enter one without CPUs and memory nodes.
func makeGroup(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// needed are the controllers that a kubelet uses.
var needed = []string{"cpu", "cpuset", "io", "memory", "pids"}

// delegate makes controllers of a cgroup of version 2 usable in those below it.
func delegate(dir string, controllers []string) error {
	var enable strings.Builder
	for _, controller := range controllers {
		fmt.Fprintf(&enable, "+%s ", controller)
	}
	err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(enable.String()), 0o600)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w: a cgroup with processes cannot give controllers to others; in a container, use the cgroups of the machine (docker run --cgroupns=host)", err)
	}
	return err
}

// enter moves this process into the cgroups.
func (g *groups) enter() error { return move(g.dirs) }

// leave moves this process back.
func (g *groups) leave() error { return move(g.origins) }

func move(dirs []string) error {
	for _, dir := range dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// remove removes the cgroups and those below them, the deepest first.
func (g *groups) remove() error {
	var problems []error
	for _, dir := range g.dirs {
		deadline := time.Now().Add(removeTimeout)
		for {
			err := removeGroup(dir)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				problems = append(problems, err)
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return errors.Join(problems...)
}

func removeGroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeGroup(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return unix.Rmdir(dir)
}

// mountGroups mounts the hierarchies so that the cgroups of the cluster are their roots, and makes a cgroup for each
// node.
func mountGroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	if len(all) == 1 && all[0].controllers == "" {
		return mountUnified()
	}
	if err := mountAll([]mount{{source: "tmpfs", target: groupRoot, kind: "tmpfs", data: "mode=755"}}); err != nil {
		return err
	}
	for _, h := range all {
		name, named := strings.CutPrefix(h.controllers, "name=")
		options := h.controllers
		if named {
			options = "none," + options
		}
		dir := filepath.Join(groupRoot, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := mountAll([]mount{{source: "cgroup", target: dir, kind: "cgroup", data: options}}); err != nil {
			return err
		}
		for _, n := range nodes {
			if err := makeGroup(filepath.Join(dir, n.name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mountUnified is mountGroups for version 2, where only cgroups without others below them may have processes.
func mountUnified() error {
	if err := mountAll([]mount{{source: "cgroup2", target: groupRoot, kind: "cgroup2"}}); err != nil {
		return err
	}
	programs := filepath.Join(groupRoot, "programs")
	if err := os.Mkdir(programs, 0o755); err != nil {
		return err
	}
	if err := move([]string{programs}); err != nil {
		return err
	}
	// A kubelet wants all controllers of the root below it.
	controllers, err := os.ReadFile(filepath.Join(groupRoot, "cgroup.controllers"))
	if err != nil {
		return err
	}
	if err := delegate(groupRoot, strings.Fields(string(controllers))); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := os.Mkdir(filepath.Join(groupRoot, n.name), 0o755); err != nil {
			return err
		}
	}
	return nil
}
