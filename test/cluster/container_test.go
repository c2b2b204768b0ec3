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
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// container is the running container of a pod, as the kernel shows it.
type container struct {
	pid int // of its first process
	// groups are its cgroups by controllers, "" for version 2.
	groups map[string]string
}

// find returns the container of a pod.
func find(pod corev1.Pod) (container, error) {
	if len(pod.Status.ContainerStatuses) == 0 {
		return container{}, fmt.Errorf("pod %s has no container", pod.Name)
	}
	_, id, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	all, err := containers()
	if err != nil {
		return container{}, err
	}
	for _, c := range all {
		for _, group := range c.groups {
			if filepath.Base(group) == id {
				return c, nil
			}
		}
	}
	return container{}, fmt.Errorf("no process runs in container %q of pod %s", id, pod.Name)
}

// containers returns the running containers of all pods.
func containers() ([]container, error) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var all []container
	for _, process := range processes {
		text, err := os.ReadFile(filepath.Join(process, "cgroup"))
		if err != nil {
			continue // It has ended.
		}
		c := container{groups: map[string]string{}}
		inPod := false
		for line := range strings.Lines(string(text)) {
			if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); len(fields) == 3 {
				c.groups[fields[1]] = fields[2]
				inPod = inPod || strings.Contains(fields[2], "/kubepods/")
			}
		}
		status, err := readStatus(process)
		if err != nil {
			continue // It has ended.
		}
		// Only the first process of a container is number 1 in a namespace below.
		numbers := strings.Fields(status["NSpid"])
		if !inPod || len(numbers) < 2 || numbers[len(numbers)-1] != "1" {
			continue
		}
		if c.pid, err = strconv.Atoi(filepath.Base(process)); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// readStatus returns the fields of /proc/PID/status.
func readStatus(process string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(process, "status"))
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.Join(strings.Fields(value), " ")
	}
	return fields, nil
}

// proc returns the path of a file of the container's first process.
func (c container) proc(file string) string { return fmt.Sprintf("/proc/%d/%s", c.pid, file) }

// group returns the number in a file of the container's cgroup: of the controller memory in version 1, else of version
// 2.
func (c container) group(v1, v2 string) (int64, error) {
	for controllers, path := range c.groups {
		var file string
		switch {
		case slices.Contains(strings.Split(controllers, ","), "memory"):
			file = filepath.Join(groupRoot, controllers, path, v1)
		case controllers == "" && len(c.groups) == 1:
			file = filepath.Join(groupRoot, path, v2)
		default:
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
	return 0, fmt.Errorf("process %d has no cgroup of memory", c.pid)
}

// peak returns the most memory that the container has used at a time, with the page cache, in bytes.
func (c container) peak() (int64, error) {
	return c.group("memory.max_usage_in_bytes", "memory.peak")
}

// limit returns the limit of memory that the kernel enforces, in bytes.
func (c container) limit() (int64, error) { return c.group("memory.limit_in_bytes", "memory.max") }

// mounts returns the type and the first option, rw or ro, of each mount by its mount point.
func (c container) mounts() (map[string]string, error) {
	text, err := os.ReadFile(c.proc("mountinfo"))
	if err != nil {
		return nil, err
	}
	mounts := map[string]string{}
	for line := range strings.Lines(string(text)) {
		before, after, _ := strings.Cut(line, " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if len(place) < 6 || len(kind) == 0 {
			return nil, fmt.Errorf("%s: %q", c.proc("mountinfo"), line)
		}
		option, _, _ := strings.Cut(place[5], ",")
		mounts[place[4]] = kind[0] + " " + option
	}
	return mounts, nil
}

// isConfined compares what the kernel enforces with what the manifest says.
func (c *cluster) isConfined(t *testing.T, image string) {
	pods := c.awaitReady(t, image)
	for _, pod := range pods {
		found, err := find(pod)
		if err != nil {
			t.Fatal(err)
		}
		status, err := readStatus(found.proc(""))
		if err != nil {
			t.Fatal(err)
		}
		user, group := *pod.Spec.SecurityContext.RunAsUser, *pod.Spec.SecurityContext.RunAsGroup
		if user == 0 || group == 0 {
			t.Errorf("pod %s runs as user %d and group %d", pod.Name, user, group)
		}
		const none = "0000000000000000"
		for name, want := range map[string]string{
			"Uid": strings.TrimSpace(strings.Repeat(fmt.Sprintf("%d ", user), 4)),
			"Gid": strings.TrimSpace(strings.Repeat(fmt.Sprintf("%d ", group), 4)),
			// Capabilities that it has, that it can get, and that its children get.
			"CapEff": none, "CapPrm": none, "CapBnd": none, "CapInh": none, "CapAmb": none,
			// allowPrivilegeEscalation: false
			"NoNewPrivs": "1",
			// A filter; 1 is strict, 0 is none.
			"Seccomp": "2",
		} {
			if status[name] != want {
				t.Errorf("pod %s: /proc/PID/status has %s: %s, want %s", pod.Name, name, status[name], want)
			}
		}
		mounts, err := found.mounts()
		if err != nil {
			t.Fatal(err)
		}
		for point, want := range map[string]string{
			"/": "overlay ro", "/tmp": "tmpfs rw", "/var/run/secrets/kubernetes.io/serviceaccount": "tmpfs ro",
		} {
			if mounts[point] != want {
				t.Errorf("pod %s: %s is mounted as %q, want %q", pod.Name, point, mounts[point], want)
			}
		}
		limit, err := found.limit()
		if want := pod.Spec.Containers[0].Resources.Limits.Memory().Value(); err != nil || limit != want {
			t.Errorf("pod %s: the kernel's limit of memory is %d bytes, want %d; %v", pod.Name, limit, want, err)
		}
	}
}

// nothingRuns returns an error if a container of a pod still runs.
func nothingRuns() error {
	all, err := containers()
	if err != nil {
		return err
	}
	var problems []error
	for _, c := range all {
		program, err := os.Readlink(c.proc("exe"))
		if !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, fmt.Errorf("process %d still runs: %s", c.pid, program))
		}
	}
	return errors.Join(problems...)
}
