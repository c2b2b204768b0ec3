//go:build system

package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// manyElements is more than a page has at first: what is long is folded or built on demand.
const manyElements = 3_000

func TestAudit(t *testing.T) {
	changed := auditOf(t, "prod-eu", strings.Replace(manifest(t, 100), "'!has(route-reflector)'", "rack == 'rack-001'", 1))
	changed.Before = auditOf(t, "prod-eu", manifest(t, 100))
	changed.Compare(changed.Before)
	large := auditOf(t, "prod-us", manifest(t, 5000, faults...))
	large = many(large, 10_000-len(large.Violations))
	for _, c := range []struct {
		name string
		page []byte
		says []string
	}{
		{
			"5 nodes", pageOf(t, auditOf(t, "edge-1", manifest(t, 5))),
			[]string{"BGP audit of edge-1", "No violations: ", " policies evaluated", "5 mesh nodes", "zone-3"},
		},
		{
			"100 nodes", pageOf(t, reporting(past(auditOf(t, "prod-eu", manifest(t, 100, faults...))))),
			[]string{"99.6 %", "4 violations, 1 of them high", "Drift: 1 violation bypassed admission", "31 audits", "BGPPeer mistyped", "node-0002"},
		},
		{
			"300 nodes", pageOf(t, past(auditOf(t, "prod-asia", manifest(t, 300, faults...)))),
			[]string{"3 route reflectors", "Reflectors and zones", "BGPPeer mistyped"},
		},
		{
			"100 nodes after a change", pageOf(t, changed),
			[]string{"By the change:", "Before and after the change", "isolated nodes", "before: reflector clients", "removed: "},
		},
		{
			"5000 nodes", pageOf(t, large),
			[]string{"10,000 violations", "Showing 25 of 500.", "9,500 more, none more severe than these, are not on this page", "4,999"},
		},
		{
			"fleet", pageOf(t, auditOf(t, "edge-1", manifest(t, 5)), past(auditOf(t, "prod-eu", manifest(t, 100, faults...)))),
			[]string{"BGP audit of 2 clusters", "4 violations, 1 of them high, in 1 of 2 clusters"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, c.page, view{})
			p.says(c.says...)
			if n := ask[int](p, `document.querySelectorAll("*").length`); n > manyElements {
				t.Errorf("the page has %d elements", n)
			}
			if len(c.page) > 2<<20 {
				t.Errorf("the page has %d bytes", len(c.page))
			}
			p.everywhere("audit " + c.name)
		})
	}
}

// TestTheProgramWritesThePage runs bgpguard as people do: an audit, and a day later one that knows the first, of a change.
func TestTheProgramWritesThePage(t *testing.T) {
	state := write(t, manifest(t, 20))
	earlier := write(t, string(bgpguard(t, "audit", "-f", state, "-o", "json")))
	change := write(t, "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: clients}}")
	p := open(t, bgpguard(t, "audit", "-f", state, "--change", change, "--delete", "--history", earlier, "--fail-on", "none", "-o", "html"), view{})
	p.says("Denied: delete BGPPeer clients", "What it does:", "17 nodes x 6", "By the change:", "17 isolated nodes", "2 audits", "more than the 0 of")
	p.everywhere("audit of a change by the program")
}

// many adds n violations, of every severity and of ten policies, the newest last.
func many(a *audit.Audit, n int) *audit.Audit {
	for i := range n {
		severity := []string{"critical", "high", "medium", "low"}[i*4/n]
		v := audit.Violation{
			Violation: violation.Violation{
				Policy: fmt.Sprintf("%s-%d", severity, i%10), ID: fmt.Sprint(i), Action: violation.Warn, Link: "https://docs.example.com/policies",
				Message: fmt.Sprintf("BGPPeer rack-%05d peers with 172.16.0.1, which no node of the rack reaches: set spec.peerIP to the address of the rack's own router", i),
				Objects: violation.Subjects(violation.Object{Kind: "BGPPeer", Name: fmt.Sprintf("rack-%05d", i)}),
			},
			Severity: severity, FirstSeen: now.Add(time.Duration(i-n) * time.Minute), LastSeen: now,
		}
		if i%50 == 0 {
			v.Origin, v.Cause = audit.Unwatched, "introduced after 2026-07-01T09:00:00Z, while no audit ran"
		}
		a.Violations = append(a.Violations, v)
	}
	slices.SortStableFunc(a.Violations, func(x, y audit.Violation) int { return audit.Rank(x.Severity) - audit.Rank(y.Severity) })
	return a
}

// listed are the names of the objects of the violations that can be seen.
func (p *page) listed() []string {
	p.Helper()
	return ask[[]string](p, `Array.from(document.querySelectorAll(".violation")).filter(v => v.checkVisibility()).map(v => v.querySelector("dd").textContent)`)
}

func (p *page) shows(want string) {
	p.Helper()
	if got := ask[string](p, `document.querySelector(".showing").textContent`); got != want {
		p.Errorf("the page says %q, want %q", got, want)
	}
}

// choose sets a control as a user does.
func (p *page) choose(name, value string) {
	p.Helper()
	ask[bool](p, fmt.Sprintf(`(() => {
		const control = document.querySelector(".controls").elements[%q];
		if (control.type === "checkbox") { control.checked = %q === "true"; } else { control.value = %q; }
		return control.dispatchEvent(new Event("input", {bubbles: true}));
	})()`, name, value, value))
}

func TestViolationsAreFoundAndSorted(t *testing.T) {
	p := open(t, pageOf(t, many(auditOf(t, "prod", manifest(t, 5)), 400)), view{})
	if n := len(p.listed()); n != 25 {
		t.Errorf("%d violations are shown at first", n)
	}
	p.shows("Showing 25 of 400.")

	p.do(chromedp.SendKeys(chromedp.CSS(".search input"), "RACK-0012 own"))
	p.shows("Showing 10 of 400.")
	if got := p.listed(); len(got) != 10 || got[0] != "BGPPeer rack-00120" || got[9] != "BGPPeer rack-00129" {
		t.Errorf("the search finds %q", got)
	}
	p.choose("text", "no such thing")
	p.shows("None of 400 matches.")
	p.choose("text", "")

	p.choose("severity", "low")
	p.shows("Showing 25 of 100 matches, of 400.")
	if got := p.listed(); got[0] != "BGPPeer rack-00300" {
		t.Errorf("the first of the low ones is %q", got[0])
	}
	p.choose("policy", "low-3")
	p.shows("Showing 10 of 400.")
	p.choose("severity", "high")
	p.shows("None of 400 matches.")
	p.choose("severity", "")
	p.choose("policy", "")
	p.choose("drift", "true")
	p.shows("Showing 8 of 400.")
	p.choose("drift", "false")

	for order, want := range map[string]string{"newest": "BGPPeer rack-00399", "oldest": "BGPPeer rack-00000", "policy": "BGPPeer rack-00000", "severity": "BGPPeer rack-00000"} {
		p.choose("order", order)
		if got := p.listed()[0]; got != want {
			t.Errorf("by %s the first is %q, want %q", order, got, want)
		}
	}
	p.choose("order", "policy")
	if got := p.listed()[10]; got != "BGPPeer rack-00001" {
		t.Errorf("behind the ten of the first policy comes %q", got)
	}

	p.do(chromedp.Click(chromedp.CSS(".more")))
	p.shows("Showing 400 of 400.")
	if n := len(p.listed()); n != 400 {
		t.Errorf("%d of all violations are shown", n)
	}
	if got := ask[bool](p, `document.activeElement === document.querySelectorAll(".violation")[25]`); !got {
		t.Error("the first of the further violations has not got the focus")
	}
}

func TestTablesAreSorted(t *testing.T) {
	p := open(t, pageOf(t, auditOf(t, "prod", manifest(t, 100, faults...))), view{})
	results := func() []string {
		return ask[[]string](p, `Array.from(document.querySelectorAll("#c1-policies + .tables tbody tr")).map(r => r.cells[4].textContent.trim())`)
	}
	click := func(head string) {
		p.do(chromedp.Click(chromedp.Search(`//table[caption="Policies in force"]//button[.="` + head + `"]`)))
	}
	click("Result")
	if got := results(); got[0] != "evaluates changes only" || got[len(got)-1] != "2 violations" {
		t.Errorf("upwards: %q", got)
	}
	click("Result")
	if got := results(); got[0] != "2 violations" || got[len(got)-1] != "evaluates changes only" {
		t.Errorf("downwards: %q", got)
	}
	click("Severity")
	if got := ask[[]string](p, `Array.from(document.querySelectorAll("#c1-policies + .tables th[aria-sort]")).map(h => h.textContent + " " + h.getAttribute("aria-sort"))`); !slices.Equal(got, []string{"Severity ascending"}) {
		t.Errorf("the heads say %q", got)
	}
}

func TestThePageIsUsedFromTheKeyboard(t *testing.T) {
	p := open(t, pageOf(t, past(auditOf(t, "prod", manifest(t, 100, faults...)))), view{})
	focused := func() string {
		return ask[string](p, `(e => e.getAttribute("name") || e.id || e.getAttribute("class") || e.getAttribute("href") || e.tagName)(document.activeElement)`)
	}
	p.do(chromedp.KeyEvent(kb.Tab))
	if got := focused(); got != "skip" {
		t.Errorf("the first tab leads to %s", got)
	}
	if !ask[bool](p, `document.activeElement.getBoundingClientRect().left >= 0`) {
		t.Error("the link that has the focus cannot be seen")
	}
	p.do(chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent(kb.Tab))
	var order []string
	for range 40 {
		order = append(order, focused())
		p.do(chromedp.KeyEvent(kb.Tab))
	}
	for _, want := range []string{"#c1-violations", "text", "severity", "policy", "order", "drift", "picture"} {
		if !slices.Contains(order, want) {
			t.Errorf("the focus does not come to %s, but to %q", want, order)
		}
	}
	// Keys in the picture, and Space on the button that enlarges it.
	view := func() string {
		return ask[string](p, `document.querySelector(".canvas > svg").getAttribute("viewBox")`)
	}
	whole := view()
	p.do(chromedp.Focus(chromedp.CSS(".picture")), chromedp.KeyEvent("+"))
	zoomed := view()
	p.do(chromedp.KeyEvent(kb.ArrowRight))
	if moved := view(); zoomed == whole || moved == zoomed {
		t.Errorf("the picture shows %s, zoomed %s, moved %s", whole, zoomed, moved)
	}
	p.do(chromedp.KeyEvent("0"))
	if got := view(); got != whole {
		t.Errorf("the fitted picture shows %s, want %s", got, whole)
	}
	p.do(chromedp.Focus(chromedp.CSS(".tools button:last-child")), chromedp.KeyEvent(" "))
	if !ask[bool](p, `document.querySelector(".tools button:last-child").getAttribute("aria-pressed") === "true" && document.querySelector("figure.full").getBoundingClientRect().height >= innerHeight - 1`) {
		t.Error("the picture is not enlarged")
	}
	p.do(chromedp.KeyEvent(kb.Escape))
	if ask[bool](p, `Boolean(document.querySelector("figure.full"))`) {
		t.Error("Escape does not close the enlarged picture")
	}
}

func TestThePageCanBeReadWithoutScripts(t *testing.T) {
	p := open(t, pageOf(t, many(auditOf(t, "prod", manifest(t, 5)), 400)), view{noScripts: true})
	if n := len(p.listed()); n != 400 {
		t.Errorf("%d of 400 violations can be seen", n)
	}
	if ask[bool](p, `document.querySelector(".controls").checkVisibility()`) {
		t.Error("there are controls that do nothing")
	}
}

func TestThePageIsPrinted(t *testing.T) {
	p := open(t, pageOf(t, past(auditOf(t, "prod", manifest(t, 100, faults...)))), view{print: true, dark: true})
	for _, hidden := range []string{".controls", ".contents", ".more", ".tools", ".group"} {
		if ask[bool](p, fmt.Sprintf(`document.querySelector(%q).checkVisibility()`, hidden)) {
			t.Errorf("%s is printed", hidden)
		}
	}
	if got := ask[string](p, `getComputedStyle(document.body).backgroundColor`); got != "rgb(255, 255, 255)" {
		t.Errorf("paper is %s", got)
	}
	p.says("4 violations, 1 of them high", "Policies in force")
	for _, closed := range []string{"Sessions between the groups", "Audits, newest first"} {
		if !ask[bool](p, fmt.Sprintf(`Array.from(document.querySelectorAll("caption")).find(c => c.textContent === %q).getBoundingClientRect().height > 0`, closed)) {
			t.Errorf("%q is not printed", closed)
		}
	}
}

// Nobody can ask paper for more, so it has all violations that fit; the screen is then as it was.
func TestAllThatFitsIsPrinted(t *testing.T) {
	p := open(t, pageOf(t, many(auditOf(t, "prod", manifest(t, 5)), 60)), view{})
	p.shows("Showing 25 of 60.")
	ask[bool](p, `addEventListener("beforeprint", () => { document.title = document.querySelectorAll(".violation:not([hidden])").length + ": " + document.querySelector(".showing").textContent }), true`)
	get(p, chromedp.PrintToPDF())
	if got := ask[string](p, `document.title`); got != "60: Showing 60 of 60." {
		t.Errorf("printed are %s", got)
	}
	p.shows("Showing 25 of 60.")
}

func TestTheOverviewOfAFleetLeadsToItsClusters(t *testing.T) {
	p := open(t, pageOf(t, auditOf(t, "edge-1", manifest(t, 5)), auditOf(t, "edge-2", manifest(t, 4))), view{})
	p.do(chromedp.Click(chromedp.Search(`//a[.="edge-2"]`)))
	if got := ask[string](p, `location.hash + " " + document.querySelector(location.hash).getAttribute("aria-label")`); got != "#c2 edge-2" {
		t.Errorf("the link leads to %s", got)
	}
	if top := ask[float64](p, `document.querySelector("#c2").getBoundingClientRect().top`); top < -1 || top > height {
		t.Errorf("the cluster is at %v", top)
	}
}

// TestTheBrowserTells has pages that do what no report may, so that one knows that it would be noticed.
func TestTheBrowserTells(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"a request":          {`<img alt="" src="http://198.51.100.1/a.png">`, "the page asks for http://198.51.100.1/a.png"},
		"an exception":       {`<script>nothing()</script>`, "the page throws"},
		"the console":        {`<script>console.error("x")</script>`, `the page writes to the console: error "x"`},
		"a policy that bars": {`<meta http-equiv="Content-Security-Policy" content="script-src 'none'"><script>1</script>`, "the browser reports: error"},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, []byte("<!DOCTYPE html><title>x</title>"+c.body), view{})
			get(p, chromedp.Poll[bool](`document.readyState === "complete"`))
			p.mu.Lock()
			defer p.mu.Unlock()
			if !slices.ContainsFunc(p.complaints, func(s string) bool { return strings.HasPrefix(s, c.want) }) {
				t.Errorf("the complaints are %q", p.complaints)
			}
			p.complaints = nil
		})
	}
}
