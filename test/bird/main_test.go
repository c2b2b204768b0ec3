//go:build system

package bird

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sync/semaphore"
)

// maxDaemons bounds the BIRDs that run at the same time. The tests mostly wait for BIRD's timers, so they run in
// parallel.
const maxDaemons = 40

var slots = semaphore.NewWeighted(maxDaemons)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := missing(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := flag.Set("test.parallel", fmt.Sprint(maxDaemons)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// missing returns an error that names what the tests need and do not find. They fail instead of being skipped.
func missing() error {
	for _, program := range []string{"ip", "bird", "bird6"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("test/bird needs %s, BIRD 1.6 and iproute2: apt-get install bird iproute2, and run as root", program)
		}
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("test/bird makes network namespaces, which user %d may not: run as root (and apt-get install bird iproute2)", os.Geteuid())
	}
	return nil
}

// start waits until its daemons may run, and starts a cluster that is closed when the test ends.
func start(t *testing.T, nodes []Node, o Options) *Cluster {
	t.Helper()
	daemons := int64(0)
	for _, n := range nodes {
		for _, a := range n.Address {
			if a.IsValid() {
				daemons++
			}
		}
	}
	if daemons > maxDaemons {
		t.Fatalf("%d daemons, and no more than %d may run", daemons, maxDaemons)
	}
	if err := slots.Acquire(t.Context(), daemons); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slots.Release(daemons) })
	c, err := Start(nodes, o)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
