package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/health"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// violationsShown is the number of violations on a page, divided by the clusters of a
// fleet; each cluster shows at least fewestShown.
const (
	violationsShown = 500
	fewestShown     = 20
)

// worstDelay is the duration of a full bar, in seconds. BIRD's graceful restart wait time and
// its hold time have this value.
const worstDelay = 240

// Tones are the classes of parts.css that rate a result, in addition to the severities.
const (
	good    = "good"
	unsure  = "unknown"
	neutral = "neutral"
	odd     = "medium"
)

// auditPage is the data of audit.html.
type auditPage struct {
	shell

	Fleet    *fleet // nil for one cluster that was read
	Unread   []fact
	Clusters []*clusterPart
}

type fleet struct {
	Verdict verdict
	Table   cells
}

// clusterPart is the part of the page about one cluster.
type clusterPart struct {
	// ID is the prefix of the ids of the part's elements.
	ID, Name, Where string
	Several         bool
	Verdict         verdict
	Tiles           []tile
	Failures        []fact
	Notes           []string
	Contents        []fact

	Violations        []violationPart
	Rest              string
	Drift             bool
	Severities, Found []string
	Resolved          *table

	// Change is what the change is and does; nil without a change.
	Change     *changePart
	Figure     *figure
	Facts      *table // nil without the state
	Routes     []routes
	Reflectors []cells
	Timers     *cells
	Delays     []barPart
	Faults     []table
	Health     *healthPart // nil if health was not read
	Trend      *trend
	Policies   cells
}

// verdict is the result in one sentence.
type verdict struct {
	// Name is the name of the cluster if there are several.
	Name, Tone, Icon, Text string
	More                   []string
	Counts                 []count
}

type count struct{ Severity, Tone, Icon, Count string }

// badge is one or two words with an icon.
type badge struct{ Tone, Icon, Text string }

// tile is a highlighted number.
type tile struct{ Name, Value, Note string }

type violationPart struct {
	Severity, Tone         string
	Policy, Title, Message string
	Cause, Link            string
	Badges                 []badge
	Facts                  []fact
	Nodes                  *fact // their number, and the names of all; nil if Message has them
	Drift                  bool
	Since                  int64 // seconds since 1970
	Place                  int
}

// barPart is one bar of a bar chart.
// violationsFirst is the number of violations that a page shows at first. Its script builds the
// others on demand: thousands of elements would make the page slow.
const violationsFirst = 25

// First returns the violations that the page shows at first.
func (c *clusterPart) First() []violationPart {
	return c.Violations[:min(violationsFirst, len(c.Violations))]
}

// Later returns the violations after First.
func (c *clusterPart) Later() []violationPart { return c.Violations[len(c.First()):] }

type barPart struct {
	Name, Value, Reason string
	Bar                 bar
}

// writeAuditHTML writes r as one page without external resources. A script filters and
// sorts; without it, the page shows everything.
func writeAuditHTML(w io.Writer, r *Audit) error {
	p, err := newAuditPage(r)
	if err != nil {
		return err
	}
	return execute(w, "audit.html", p)
}

func newAuditPage(r *Audit) (*auditPage, error) {
	r = worstFirst(r)
	p := &auditPage{shell: newShell("BGP audit", "bgpguard "+clean(r.Version), `Run "bgpguard audit -o json" for the same data in JSON.`)}
	p.Live, p.Logout = r.Live, r.Logout
	for _, u := range r.Unread {
		p.Unread = append(p.Unread, fact{clusterName(u.Cluster), clean(u.Message)})
	}
	shown := max(violationsShown/max(len(r.Clusters), 1), fewestShown)
	several := len(r.Clusters) != 1 || len(r.Unread) > 0
	for i, a := range r.Clusters {
		var changes []Checked
		if i < len(r.Changes) {
			changes = r.Changes[i]
		}
		c, err := newClusterPart(a, changes, fmt.Sprintf("c%d", i+1), shown)
		if err != nil {
			return nil, err
		}
		if c.Several = several; several {
			c.Verdict.Name = c.Name
		}
		p.Clusters = append(p.Clusters, c)
	}
	if several {
		if n := len(r.Clusters) + len(r.Unread); n > 1 {
			p.Title += " of " + Count(n, "cluster")
		}
		p.Fleet = newFleet(r.Report, p.Clusters)
	} else {
		a := r.Clusters[0]
		if a.Cluster != "" {
			p.Title += " of " + clean(a.Cluster)
		}
		p.Subtitle = strings.Join([]string{moment(a.Time), p.Subtitle, calicoVersion(a)}, " · ")
	}
	return p, nil
}

// worstFirst returns r with the clusters that have the most severe violations first, after
// those whose state is stale.
func worstFirst(r *Audit) *Audit {
	order := make([]int, len(r.Clusters))
	for i := range order {
		order[i] = i
	}
	rank := func(a *audit.Audit) int {
		if a.Stale > 0 {
			return -1
		}
		if len(a.Violations) == 0 && (len(a.Failures) > 0 || a.Judging() == 0) {
			return 1 // Nobody knows how bad it is: after critical violations.
		}
		return 2 * audit.Rank(a.Worst())
	}
	slices.SortStableFunc(order, func(i, j int) int { return rank(r.Clusters[i]) - rank(r.Clusters[j]) })
	out := *r
	sorted := *r.Report
	sorted.Clusters, out.Changes, out.Report = nil, nil, &sorted
	for _, i := range order {
		sorted.Clusters = append(sorted.Clusters, r.Clusters[i])
		if i < len(r.Changes) {
			out.Changes = append(out.Changes, r.Changes[i])
		}
	}
	return &out
}

func calicoVersion(a *audit.Audit) string {
	if a.Summary == nil || a.Summary.CalicoVersion == "" {
		return "unknown Calico version"
	}
	return "Calico " + clean(string(a.Summary.CalicoVersion))
}

// moment formats a time with the name of the month, which is unambiguous.
func moment(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04 UTC") }

func newClusterPart(a *audit.Audit, changes []Checked, id string, shown int) (*clusterPart, error) {
	c := &clusterPart{
		ID: id, Name: clusterName(a.Cluster), Where: moment(a.Time) + " · " + calicoVersion(a), Verdict: verdictOf(a), Policies: policyCells(a), Trend: newTrend(a),
		Health: newHealthPart(a.Health),
	}
	for _, f := range a.Failures {
		c.Failures = append(c.Failures, fact{clean(f.Policy), clean(f.Message)})
	}
	for _, n := range a.Notes {
		c.Notes = append(c.Notes, clean(n))
	}
	c.violations(a, shown)
	if err := c.state(a, changes); err != nil {
		return nil, err
	}
	c.contents()
	return c, nil
}

// clusterName returns the name of a cluster, or "the cluster" if it has none.
func clusterName(name string) string {
	if name == "" {
		return "the cluster"
	}
	return clean(name)
}

// verdictOf returns the verdict on a cluster: the violations in one sentence, then
// evaluation errors, drift and the comparison.
func verdictOf(a *audit.Audit) verdict {
	v := verdict{Tone: good, Icon: good, Counts: countsOf(a.Count())}
	judging := a.Judging()
	switch {
	case len(a.Violations) > 0:
		v.Tone, v.Icon = tone(a.Worst()), tone(a.Worst())
		v.Text = violationsText(a.Count())
	case judging == 0:
		v.Tone, v.Icon, v.Text = unsure, unsure, capital(nothingChecked)
	case len(a.Failures) > 0:
		v.Tone, v.Icon = unsure, unsure
		v.Text = fmt.Sprintf("No violations, but %s of %s could not be evaluated", number(len(a.Failures)), Count(judging, "policy", "policies"))
	default:
		v.Text = "No violations: " + Count(judging, "policy", "policies") + " evaluated"
	}
	if a.Stale > 0 {
		if v.Tone == good {
			v.Tone, v.Icon = unsure, unsure
		}
		v.More = append(v.More, fmt.Sprintf("The state may be stale: the API server has sent nothing for %s.", a.Stale.Round(time.Second)))
	}
	if n := len(a.Failures); n > 0 && len(a.Violations) > 0 {
		v.More = append(v.More, Count(n, "policy", "policies")+" could not be evaluated, so there may be more violations.")
	}
	if n := drifting(a); n > 0 {
		v.More = append(v.More, fmt.Sprintf("Drift: %s bypassed admission, or may have.", either(n, "1 violation", number(n)+" violations")))
	}
	if text := comparedText(a); text != "" {
		v.More = append(v.More, text)
	}
	return v
}

// violationsText counts all violations and the most severe ones.
func violationsText(counts map[string]int) string {
	total, worst := 0, ""
	for _, severity := range policy.Severities {
		if worst == "" && counts[severity] > 0 {
			worst = severity
		}
		total += counts[severity]
	}
	switch n := counts[worst]; {
	case total == n:
		return Count(total, worst+" violation")
	case n == 1:
		return fmt.Sprintf("%s, 1 of them %s", Count(total, "violation"), worst)
	default:
		return fmt.Sprintf("%s, %s of them %s", Count(total, "violation"), number(n), worst)
	}
}

// countsOf lists the counts by severity, most severe first.
func countsOf(counts map[string]int) []count {
	var out []count
	for _, severity := range policy.Severities {
		out = append(out, count{severity, severity, severity, number(counts[severity])})
	}
	return out
}

// tone returns the tone of a severity; an unknown severity has that of the lowest.
func tone(severity string) string {
	if slices.Contains(policy.Severities, severity) {
		return severity
	}
	return policy.Severities[len(policy.Severities)-1]
}

// violations adds the most severe violations, at most limit.
func (c *clusterPart) violations(a *audit.Audit, limit int) {
	titles := map[string]string{}
	for _, p := range a.Policies {
		titles[p.Name] = p.Title
	}
	list, all := head(a.Violations, limit)
	named := 0
	for i := range list {
		v := newViolationPart(&list[i], a, i)
		if left := namesOnPage - named; left > 0 {
			v.Nodes = nodesPart(&list[i], left)
			named += len(list[i].Nodes)
		}
		v.Title = clean(titles[list[i].Policy])
		c.Drift = c.Drift || v.Drift
		c.Severities = append(c.Severities, v.Severity)
		c.Found = append(c.Found, v.Policy)
		c.Violations = append(c.Violations, v)
	}
	c.Severities = slices.Compact(c.Severities) // They are in order of severity.
	slices.Sort(c.Found)
	c.Found = slices.Compact(c.Found)
	if rest := all - len(list); rest > 0 {
		c.Rest = fmt.Sprintf("%s more, none more severe than these, %s not on this page: bgpguard audit -o json lists all.", number(rest), either(rest, "is", "are"))
	}
	if len(a.Resolved) > 0 {
		c.Resolved = new(tableOf("Resolved", []string{"Severity", "Policy", "About", "First seen", "Last seen", "Why"}, slices.Values(a.Resolved), len(a.Resolved),
			func(v audit.Violation) []string {
				return []string{v.Severity, v.Policy, objects(&v.Violation), moment(v.FirstSeen), moment(v.LastSeen), v.Cause}
			}))
	}
}

// namesOnPage is the number of nodes that the violations of a cluster name in all: about 1 MB.
const namesOnPage = 50_000

// nodesPart returns the names of the nodes of a violation, at most limit of them. It is nil if
// the message has them.
func nodesPart(v *audit.Violation, limit int) *fact {
	if named(v.Message, v.Nodes) {
		return nil
	}
	names := clean(strings.Join(v.Nodes[:min(len(v.Nodes), limit)], ", "))
	if more := len(v.Nodes) - limit; more > 0 {
		names += fmt.Sprintf(" and %s more: bgpguard audit -o json names all", number(more))
	}
	return &fact{"All " + Count(len(v.Nodes), "node"), names}
}

func newViolationPart(v *audit.Violation, a *audit.Audit, place int) violationPart {
	p := violationPart{
		Severity: clean(v.Severity), Tone: tone(v.Severity), Policy: clean(v.Policy), Message: clean(v.Message), Cause: sentence(clean(v.Cause)), Drift: v.Origin.Drift(), Link: webLink(v.Link),
		Since: v.FirstSeen.Unix(), Place: place, Badges: []badge{{tone(v.Severity), tone(v.Severity), clean(v.Severity)}},
	}
	switch v.Compared {
	case audit.New:
		p.Badges = append(p.Badges, badge{neutral, "new", "new"})
	case audit.Worse:
		p.Badges = append(p.Badges, badge{neutral, "worse", "worse"})
	case audit.Known:
		p.Badges = append(p.Badges, badge{neutral, "same", "as before"})
	}
	if p.Drift {
		p.Badges = append(p.Badges, badge{unsure, "drift", "drift: " + origins[v.Origin]})
	}
	if len(v.Objects) > 0 {
		p.Facts = append(p.Facts, fact{"about", objects(&v.Violation)})
	}
	first := moment(v.FirstSeen)
	if v.FirstSeen.Equal(a.Time) {
		first = "in this audit"
	}
	p.Facts = append(p.Facts, fact{"first seen", first}, fact{"last seen", moment(v.LastSeen)}, fact{"action", clean(string(v.Action))})
	if came := origins[v.Origin]; came != "" && !p.Drift {
		p.Facts = append(p.Facts, fact{"origin", came})
	}
	return p
}

// webLink returns link if it is a URL of the web, else "".
func webLink(link string) string {
	if link == clean(link) && (strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://")) {
		return link
	}
	return ""
}

// origins describe the origins of violations.
var origins = map[audit.Origin]string{
	audit.Standing:      "before the first audit or the policy",
	audit.Allowed:       "changes that the policy does not deny",
	audit.Unreviewed:    "changes that admission does not review",
	audit.Exempt:        "change that was exempt",
	audit.PastAdmission: "bypassed admission",
	audit.Together:      "several changes, each of them allowed",
	audit.Unwatched:     "appeared while no audit ran",
}

// capital capitalizes the first letter of text, which is ASCII.
func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// sentence returns text as a sentence.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return capital(text) + "."
}

// state adds the audited state. An audit from a file has only its summary.
func (c *clusterPart) state(a *audit.Audit, changes []Checked) error {
	if a.Topology == nil || a.Snapshot == nil {
		return nil
	}
	t := auditTopology(a)
	var err error
	if c.Figure, err = newFigure(t, c.ID); err != nil {
		return err
	}
	c.Facts = new(factsTable("State", []string{"Figure", "Value"}, facts(t.Summary, "")))
	c.Routes = routesOf(t)
	c.Reflectors = reflectorCells(a.Snapshot, t, limitOf(a, "reflector-redundancy", "maxSessions"))
	if c.Change = newChangePart(changes, t, c.ID); c.Change != nil && len(changes) > 0 && changes[0].Decision != nil {
		before := c.Verdict
		c.Verdict = changeVerdict(changes, t)
		c.Verdict.Counts = before.Counts
		c.Verdict.More = append(c.Verdict.More, "After the change: "+before.Text+".")
		c.Verdict.More = append(c.Verdict.More, before.More...)
	}
	c.Timers = timerCells(t.Summary)
	c.Tiles = tiles(t, a.Health)
	list := events(t)
	longest := worstDelay
	for _, e := range list {
		longest = max(longest, e.seconds)
	}
	for _, e := range list {
		c.Delays = append(c.Delays, barPart{capital(e.name), number(e.seconds) + " s", sentence(e.reason), newBar(e.seconds, longest, "")})
	}
	for _, f := range faultTables(t) {
		if len(f.Rows) > 0 {
			c.Faults = append(c.Faults, f)
		}
	}
	return nil
}

// auditTopology returns the topology of an audit, and that before the change, in the
// form of the topology report.
func auditTopology(a *audit.Audit) *Topology {
	t := &Topology{
		Summary: a.Topology.Summary(), Sessions: a.Topology.HalfSessions(""), Broken: a.Topology.Broken(""), Ambiguous: a.Topology.Ambiguous(""),
		Frozen: a.Topology.Frozen(), Ignored: a.Topology.Ignored(), Graph: a.Topology.Graph(), Reflectors: Reflectors(a.Snapshot, a.Topology), WithTransit: true,
	}
	if b := a.Before; b != nil && b.Topology != nil && b.Snapshot != nil {
		t.Before = auditTopology(b)
		t.Change, t.Impact = a.Topology.GraphChange(b.Topology), a.Topology.Impact(b.Topology)
	}
	return t
}

// limitOf returns a parameter of a policy in force, 0 if none has it. Of several
// policies it returns the lowest.
func limitOf(a *audit.Audit, policy, parameter string) int {
	limit := 0
	for _, p := range a.Policies {
		n, err := strconv.Atoi(fmt.Sprint(p.Parameters[parameter]))
		if p.Policy == policy && err == nil && n > 0 && (limit == 0 || n < limit) {
			limit = n
		}
	}
	return limit
}

// tiles returns the most important numbers of the cluster.
func tiles(t *Topology, h *health.Health) []tile {
	s := t.Summary
	four, six := s.Sessions.In(calico.IPv4), s.Sessions.In(calico.IPv6)
	how := Count(s.Nodes.Reflectors, "route reflector")
	switch {
	case s.Mesh.Enabled && s.Nodes.Reflectors > 0:
		how += " and a full mesh"
	case s.Mesh.Enabled:
		how = "in a full mesh"
	}
	sessionsNote := "no broken half-session"
	if n := four.Broken + six.Broken; n > 0 {
		sessionsNote = Count(n, "broken half-session")
	}
	isolated, partitions := 0, 0
	for _, f := range calico.Families {
		r := t.reach(s.Routes.In(f))
		isolated, partitions = max(isolated, r.Isolated.Nodes), max(partitions, r.Partitions)
	}
	isolatedNote := "all have routes to each other"
	if partitions > 1 {
		isolatedNote = Count(partitions, "partition")
	}
	start := tile{"Start of calico-node", number(s.Convergence.Start.Seconds) + " s", "without routes, worst case"}
	if n := s.Convergence.Waiting.Nodes; n > 0 {
		start.Note = "without routes on " + Count(n, "node")
	}
	if isolated > 0 {
		start.Value, start.Note = "no routes", fmt.Sprintf("ever on %s; %s s on the others", Count(isolated, "isolated node"), number(s.Convergence.Start.Seconds))
		if isolated >= s.Nodes.BGP {
			start.Note = "ever: all nodes are isolated"
		}
	}
	out := []tile{
		{"Nodes with BGP", number(s.Nodes.BGP), how},
		{"Sessions between nodes", number(four.Total + six.Total), sessionsNote},
		{"Isolated nodes", number(isolated), isolatedNote},
		start,
	}
	if h != nil && h.Known {
		established, predicted := h.Sessions.IPv4.Established+h.Sessions.IPv6.Established, h.Sessions.IPv4.Predicted+h.Sessions.IPv6.Predicted
		if predicted > 0 {
			out = append(out, tile{"Sessions established", percent(established, predicted), fmt.Sprintf("on %s of %s nodes that report", number(h.Reporting), number(h.Nodes))})
		}
	}
	return out
}

// contents lists the sections of the part; names are the suffixes of their ids.
func (c *clusterPart) contents() {
	add := func(there bool, id, title string) {
		if there {
			c.Contents = append(c.Contents, fact{id, title})
		}
	}
	add(c.Change != nil, "change", "The change")
	add(c.Figure != nil && c.Change != nil, "topology", "Topology")
	add(true, "violations", "Violations")
	add(c.Figure != nil && c.Change == nil, "topology", "Topology")
	add(c.Facts != nil, "state", "State")
	add(len(c.Reflectors) > 0, "reflectors", "Reflectors and zones")
	add(c.Timers != nil, "timers", "Timers")
	add(len(c.Delays) > 0, "convergence", "Convergence")
	add(c.Health != nil, "health", "BGP health")
	add(len(c.Faults) > 0, "faults", "Faults")
	add(c.Trend != nil, "trend", "Trend")
	add(true, "policies", "Policies")
}

// newFleet returns the totals of the clusters of r.
func newFleet(r *audit.Report, parts []*clusterPart) *fleet {
	counts, with, unjudged, stale, worst := map[string]int{}, 0, 0, 0, ""
	t := cells{Title: "Clusters", Sortable: true, Header: heads("Cluster", "Verdict")}
	for _, severity := range policy.Severities {
		t.Header = append(t.Header, numberHead(strings.ToUpper(severity[:1])+severity[1:]))
	}
	t.Header = append(t.Header, numberHead("Nodes"), numberHead("Sessions"), columnHead{Text: "Audited"})
	for _, u := range r.Unread {
		row := []cell{{Text: clusterName(u.Cluster)}, {Badge: &badge{unsure, unsure, "could not be read"}, Value: "-2"}}
		for len(row) < len(t.Header) {
			row = append(row, cell{})
		}
		t.Rows = append(t.Rows, cellRow{Cells: row})
	}
	for i, a := range r.Clusters {
		if len(a.Violations) > 0 {
			with++
			if worst == "" || audit.Rank(a.Worst()) < audit.Rank(worst) {
				worst = a.Worst()
			}
		}
		if len(a.Failures) > 0 || a.Judging() == 0 {
			unjudged++
		}
		v, point := parts[i].Verdict, a.Point()
		rank := len(policy.Severities) + 1
		if len(a.Violations) > 0 {
			rank = audit.Rank(a.Worst())
		}
		if a.Stale > 0 {
			rank = -1
			stale++
		}
		row := []cell{
			{Text: parts[i].Name, Link: "#" + parts[i].ID},
			{Badge: &badge{v.Tone, v.Icon, fleetWord(a)}, Value: strconv.Itoa(rank)},
		}
		for _, severity := range policy.Severities {
			counts[severity] += point.Violations[severity]
			row = append(row, numberCell(point.Violations[severity]))
		}
		t.Rows = append(t.Rows, cellRow{Cells: append(row, numberCell(point.Nodes), numberCell(point.Sessions), cell{Text: moment(a.Time), Value: strconv.FormatInt(a.Time.Unix(), 10)})})
	}
	v := verdict{Tone: good, Icon: good, Counts: countsOf(counts), Text: "No violations in " + Count(len(r.Clusters), "cluster")}
	if n := len(r.Unread); n > 0 {
		v.More = append(v.More, Count(n, "cluster")+" could not be read.")
	}
	if stale > 0 {
		v.More = append(v.More, "The state of "+Count(stale, "cluster")+" may be stale.")
	}
	switch {
	case with > 0:
		v.Tone, v.Icon = tone(worst), tone(worst)
		v.Text = fmt.Sprintf("%s, in %s of %s", violationsText(counts), number(with), Count(len(r.Clusters), "cluster"))
	case len(r.Clusters) == 0:
		v.Tone, v.Icon, v.Text, v.More = unsure, unsure, "Nothing was checked: no state could be read", nil
	case unjudged > 0:
		v.Tone, v.Icon, v.Text = unsure, unsure, fmt.Sprintf("%s, but %s could not be fully evaluated", v.Text, number(unjudged))
	case len(r.Unread) > 0 || stale > 0:
		v.Tone, v.Icon = unsure, unsure
	}
	return &fleet{v, t}
}

// fleetWord returns the verdict in a few words.
func fleetWord(a *audit.Audit) string {
	if a.Stale > 0 {
		now := *a
		now.Stale = 0
		return "stale: " + fleetWord(&now)
	}
	switch {
	case len(a.Violations) > 0:
		return Count(len(a.Violations), "violation")
	case len(a.Failures) > 0 || a.Judging() == 0:
		return "incomplete"
	default:
		return "no violations"
	}
}
