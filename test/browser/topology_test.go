//go:build system

package browser

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// bgpguard runs the program, which must succeed, and returns what it prints.
func bgpguard(t *testing.T, args ...string) []byte {
	t.Helper()
	return bgpguardOf(t, 0, args...)
}

// bgpguardOf runs the program, which must end with that exit code, and returns what it prints.
func bgpguardOf(t *testing.T, code int, args ...string) []byte {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), "../../bin/bgpguard", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		t.Fatalf("bgpguard %s: %v, want exit code %d\n%s", strings.Join(args, " "), err, code, &stderr)
	}
	return out
}

// routers are BGPPeers to the routers of n racks.
func routers(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("kind: BGPPeer, metadata: {name: tor-%03d}, spec: {nodeSelector: rack == 'rack-%03d', peerIP: 172.16.%d.1, asNumber: %d}", i, i, i, 65000+i))
	}
	return out
}

// TestAGroupIsSelected clicks on a group: its members are listed, and the tables show only it.
func TestAGroupIsSelected(t *testing.T) {
	for name, extra := range map[string][]string{"few groups": nil, "many groups": routers(4)} {
		t.Run(name, func(t *testing.T) {
			change := write(t, "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: clients}}")
			p := open(t, bgpguard(t, "topology", "-f", write(t, manifest(t, 100, extra...)), "--change", change, "--delete", "-o", "html"), view{})
			rows := func() int {
				return ask[int](p, `document.querySelectorAll("tr[data-groups]:not([hidden])").length`)
			}
			all := rows()
			ask[bool](p, `document.querySelector(".picture g.reflector[role=button]").dispatchEvent(new MouseEvent("click", {bubbles: true}))`)
			if shown := rows(); shown == 0 || shown > all {
				t.Errorf("%d of %d rows are shown", shown, all)
			}
			if got := ask[string](p, `Array.from(document.querySelectorAll(".group[open]")).map(g => g.querySelector(".names").textContent).join("; ")`); !strings.Contains(got, "node-0000") || strings.Contains(got, "node-0050") {
				t.Errorf("the members are %q", got)
			}
			p.says("Lists and tables show only the group")
			p.do(chromedp.Click(chromedp.CSS(".only button")))
			if shown := rows(); shown != all {
				t.Errorf("of %d rows, %d are shown again", all, shown)
			}
			p.do(chromedp.SendKeys(chromedp.CSS(".finder input"), "node-0050"))
			if got := ask[string](p, `document.querySelector("mark").textContent + " " + document.querySelectorAll(".group:not([hidden])").length`); got != "node-0050 1" {
				t.Errorf("the search finds %q", got)
			}
		})
	}
}

func TestTopology(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"5 nodes", []string{"-f", write(t, manifest(t, 5))}, []string{"5 mesh nodes", "20 mesh sessions"}},
		{
			"100 nodes after a change",
			[]string{"-f", write(t, manifest(t, 100)), "--change", write(t, "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: clients}}"), "--delete"},
			[]string{"Denied: delete BGPPeer clients", "spec.nodeSelector", "What it does:", "97 nodes x 6", "97 isolated nodes", "no routes\never on 97 isolated nodes"},
		},
		{
			"20 groups after a change",
			[]string{"-f", write(t, manifest(t, 200, routers(9)...)), "--change", write(t, "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: tor-003}}"), "--delete"},
			[]string{"Allowed", "removed", "Members of"},
		},
		{"70 groups", []string{"-f", write(t, manifest(t, 1000, routers(35)...))}, []string{"by role; the matrix below has each"}},
		{"5000 nodes", []string{"-f", write(t, manifest(t, 5000))}, []string{"4,997 reflector clients"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, bgpguard(t, append([]string{"topology", "-o", "html"}, c.args...)...), view{})
			p.says(c.says...)
			p.everywhere("topology " + c.name)
		})
	}
}
