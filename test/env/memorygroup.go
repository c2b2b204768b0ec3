package env

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	groupMount = "/sys/fs/cgroup"
	// groupTimeout is how long the kernel may take to empty a cgroup whose processes have ended.
	groupTimeout = 5 * time.Second
)

// MemoryGroup is a cgroup with a limit of memory, as a container has. The kernel kills a process of the group when the group
// needs more and none can be freed. Page cache counts, and the kernel frees it first.
type MemoryGroup struct {
	dir string
	v2  bool
}

// newMemoryGroup makes a cgroup with a limit in bytes. Without root, or where the hierarchy of cgroups cannot be changed, it
// returns an error.
func newMemoryGroup(limit int64) (*MemoryGroup, error) {
	parent, v2, err := memoryParent()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, "bgpguard-")
	if err != nil {
		return nil, err
	}
	g := &MemoryGroup{dir: dir, v2: v2}
	files := []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"}
	values := []int64{limit, limit}
	if v2 {
		files, values = []string{"memory.max", "memory.swap.max"}, []int64{limit, 0}
	}
	for i, file := range files {
		path := filepath.Join(dir, file)
		if _, err := os.Stat(path); err != nil && i > 0 { // A kernel without accounting of swap.
			continue
		}
		if err := os.WriteFile(path, []byte(strconv.FormatInt(values[i], 10)), 0o600); err != nil {
			_ = os.Remove(dir)
			return nil, err
		}
	}
	return g, nil
}

// memoryGroup returns a cgroup with a limit in bytes that the environment removes at its end, nil if this machine permits none.
func (e *Environment) memoryGroup(limit int64) *MemoryGroup {
	group, err := newMemoryGroup(limit)
	if err != nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.groups = append(e.groups, group)
	return group
}

// memoryParent returns the directory below which cgroups with limits of memory can be made: that of this process in version 1,
// and the root in version 2, where a cgroup with processes cannot give controllers to others.
func memoryParent() (dir string, v2 bool, err error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", false, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path
		if len(fields) == 3 && slices.Contains(strings.Split(fields[1], ","), "memory") {
			mount := filepath.Join(groupMount, fields[1])
			if own := filepath.Join(mount, fields[2]); isDir(own) {
				return own, false, nil
			}
			return mount, false, nil // In a container, the path can be that outside of it.
		}
	}
	return groupMount, true, os.WriteFile(filepath.Join(groupMount, "cgroup.subtree_control"), []byte("+memory"), 0o600)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// wrap returns the command that enters the group and then becomes the given one, in the same process.
func (g *MemoryGroup) wrap(binary string, args []string) (string, []string) {
	return "/bin/sh", append([]string{"-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs"), binary}, args...)
}

// Peak returns the most memory that the group has used at a time, with the page cache, in bytes.
func (g *MemoryGroup) Peak() (int64, error) {
	file := "memory.max_usage_in_bytes"
	if g.v2 {
		file = "memory.peak"
	}
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// Kills returns how many processes of the group the kernel has killed because of the limit.
func (g *MemoryGroup) Kills() (int, error) {
	file := "memory.oom_control"
	if g.v2 {
		file = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "oom_kill "); found {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("%s has no oom_kill: %s", file, text)
}

// remove removes the group when its processes have ended.
func (g *MemoryGroup) remove() error {
	for deadline := time.Now().Add(groupTimeout); ; time.Sleep(pollInterval) {
		err := os.Remove(g.dir)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
