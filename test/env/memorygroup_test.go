//go:build system

package env

import (
	"os/exec"
	"testing"
)

// The kernel enforces the limit: a process that needs more is killed, and one that needs less is not.
func TestMemoryGroup(t *testing.T) {
	const limit = 64 << 20
	group, err := newMemoryGroup(limit)
	if err != nil {
		t.Logf("nothing was tested, as this machine permits no cgroup: %v", err)
		return
	}
	for i, command := range []string{"head -c 4M /dev/zero | tail -c 4M | wc -c", "head -c 256M /dev/zero | tail -c 256M | wc -c"} {
		binary, args := group.wrap("/bin/sh", []string{"-c", command})
		_ = exec.Command(binary, args...).Run() // The last command of the pipe succeeds.
		kills, err := group.Kills()
		if err != nil || kills != i {
			t.Errorf("%s: %d processes were killed, want %d; error %v", command, kills, i, err)
		}
	}
	if peak, err := group.Peak(); err != nil || peak > limit || peak < limit/2 {
		t.Errorf("the peak is %d bytes, want at most %d; error %v", peak, limit, err)
	}
	if err := group.remove(); err != nil {
		t.Error(err)
	}
}
