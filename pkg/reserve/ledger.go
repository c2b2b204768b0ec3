package reserve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

const (
	// Lifetime is how long a reservation stays open if no event settles it. It is longer
	// than the longest request of an API server, with all webhooks.
	Lifetime = 35 * time.Second
	// Landing is the time in which a change that is persisted usually shows in the watch.
	// A change waits until no open reservation is younger.
	Landing = 500 * time.Millisecond
	// keepSettled is how long a settled reservation stays in the record for replicas whose
	// watch lags behind.
	keepSettled = 5 * time.Second
	// secondReview is how long the second review of a change is recognised.
	secondReview = 5 * time.Second
	// maxJoins is the number of open reservations of nodes that join for which no change waits. It
	// bounds the record, and what a change is decided with.
	maxJoins = 100
)

// ErrConflict means that a change was reserved since Await, by another replica or because it could not be
// decided: the change must be decided again.
var ErrConflict = errors.New("another change was reserved at the same time")

// ErrBusy means that the context ended while a change waited for other changes. The change can
// be repeated.
var ErrBusy = errors.New("waiting for the outcome of other changes")

// Store reads and writes the record. *ConfigMap implements it.
type Store interface {
	// Read returns the record and its version, "" if there is no record.
	Read(ctx context.Context) (record []byte, version string, err error)
	// Write writes the record if it still has the given version, "" if there is no record,
	// and returns the new version. Otherwise the error is ErrConflict.
	Write(ctx context.Context, record []byte, version string) (string, error)
}

// Objects reads single objects. *cluster.Follower implements it.
type Objects interface {
	// Current returns the resourceVersion that an object has at the API server now, "" if
	// there is no such object. It must not read a cache.
	Current(ctx context.Context, id calico.ID) (version string, err error)
}

// Ledger holds the reservations that a replica knows. It is safe for concurrent use.
type Ledger struct {
	store   Store // nil if reservations are not shared
	replica string
	log     logr.Logger
	// objects shows whether the watch is late, nil if it is not asked. late is how late the
	// watch can be.
	objects Objects
	late    time.Duration
	// turn holds one element while a change is decided and reserved.
	turn chan struct{}

	mu sync.Mutex
	// changed is closed and replaced when a waiting change may continue.
	changed chan struct{}
	// open are the reservations that are neither settled nor expired, done those that are.
	// The record may still hold a reservation of done.
	open, done map[key]*entry
	// proposed are the reservations of this replica that are not in the record yet, in the order in
	// which their changes were decided. writes reports that write runs, and writing is the record
	// with some of them that it writes, nil if there is none.
	proposed []*draft
	writes   bool
	writing  *batch
	// added counts the reservations of this replica, learned the records of other replicas.
	added, learned uint64
	marks          map[calico.Kind]mark
	// versions are the versions of all objects that the watches have shown. progress is the
	// version up to which the watch of a kind has shown all events, listed that of its newest
	// list.
	versions         map[calico.ID]uint64
	progress, listed map[calico.Kind]uint64
	// deleted are the objects that were deleted during the time late, replaced those that
	// a reservation replaces or deletes, in the version that it replaces.
	deleted, replaced map[calico.ID]sighting
	// version is that of the record in shared, "" if there is none. known is false until
	// the record is read.
	version string
	known   bool
	// unreadable is when a record that does not parse was read first, zero if it parses.
	unreadable time.Time
}

// entry is a reservation as this replica knows it. Times are those of this replica, so that
// clocks of replicas are not compared.
type entry struct {
	*Reservation

	key key
	// seen is when this replica made or first read the reservation.
	seen time.Time
	// own is true if this replica made it, shared if the record holds it.
	own, shared bool
	// settled is the version of the event that settled it, 0 if it expired. It is valid
	// from finished on, which is zero for an open reservation.
	settled  uint64
	finished time.Time
	// current reports that the snapshot has shown the object as the API server has it after
	// Lifetime: the change was not persisted. late reports that it did not: the watch is late.
	current, late bool
}

// sighting is a version of an object, and when this replica learned of it.
type sighting struct {
	version uint64
	at      time.Time
}

// mark replaces a settled reservation in the record.
type mark struct {
	Kind calico.Kind `json:"kind"`
	Name string      `json:"name"`
	// Version is that of the event that settled the reservation.
	Version uint64 `json:"version"`

	seen time.Time
}

// NewLedger returns a ledger without reservations. Only this replica knows its reservations
// if store is nil.
func NewLedger(store Store, replica string, log logr.Logger) *Ledger {
	return &Ledger{
		store: store, replica: replica, log: log, late: Lifetime, turn: make(chan struct{}, 1), changed: make(chan struct{}),
		open: map[key]*entry{}, done: map[key]*entry{}, marks: map[calico.Kind]mark{},
		versions: map[calico.ID]uint64{}, progress: map[calico.Kind]uint64{}, listed: map[calico.Kind]uint64{},
		deleted: map[calico.ID]sighting{}, replaced: map[calico.ID]sighting{}, known: store == nil,
	}
}

// ExpectLateWatches makes the ledger safe from a watch that is late by more than Lifetime. A
// reservation without an event expires only when objects shows that the watch is not late.
// maxAge bounds how long marks are kept, and reservations while objects cannot be read. After
// this time without an answer of the API server no change is decided. It must be called before
// the ledger is used.
func (l *Ledger) ExpectLateWatches(objects Objects, maxAge time.Duration) {
	l.objects, l.late = objects, max(maxAge, Lifetime)
}

// List records that the objects of a kind are read in the given version. Events up to this
// version may then be observed in any order, until Confirm. The version may be lower than
// that of earlier events: etcd was restored from a backup.
func (l *Ledger) List(kind calico.Kind, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listed[kind] = number(version)
	l.progress[kind] = min(l.progress[kind], l.listed[kind])
}

// Observe records an event of a watch: the object exists in the given version, or was
// deleted. It must be called after snapshots show the event. A deletion without a version is
// one that the watch missed.
func (l *Ledger) Observe(id calico.ID, version string, exists bool) {
	n := number(version)
	l.mu.Lock()
	defer l.mu.Unlock()
	if exists {
		l.versions[id] = n
		delete(l.deleted, id)
	} else {
		delete(l.versions, id)
		l.deleted[id] = sighting{n, time.Now()}
	}
	if n > l.listed[id.Kind] {
		l.progress[id.Kind] = max(l.progress[id.Kind], n)
	}
	if len(l.open) > 0 || len(l.marks) > 0 {
		defer l.wake()
	}
	for _, e := range l.open {
		if e.ID() == id && e.settles(n, exists) {
			l.finish(e, n)
		}
	}
}

// Confirm records that the watch of a kind has reached a version, unless Observe lacks one of
// the events. objects are the names and versions of all objects of the kind, read when the
// version was known.
//
// Events alone do not show this: an object that was created and deleted before a list is in
// no event of this replica.
func (l *Ledger) Confirm(kind calico.Kind, version string, objects iter.Seq2[string, string]) {
	n := number(version)
	l.mu.Lock()
	defer l.mu.Unlock()
	if n <= l.progress[kind] || n < l.listed[kind] || !l.observed(kind, objects) {
		return
	}
	l.progress[kind] = n
	for _, e := range l.open {
		if e.Kind == kind && l.missed(e) {
			l.finish(e, n)
		}
	}
	l.wake()
}

// observed reports whether Observe has received these objects, in these versions or newer
// ones, and no other objects of the kind.
func (l *Ledger) observed(kind calico.Kind, objects iter.Seq2[string, string]) bool {
	count := 0
	for name, version := range objects {
		if at, ok := l.versions[calico.ID{Kind: kind, Name: name}]; !ok || at < number(version) {
			return false
		}
		count++
	}
	for id := range l.versions {
		if id.Kind == kind {
			count--
		}
	}
	return count == 0
}

// Load reads the record, so that the first change need not wait for it.
func (l *Ledger) Load(ctx context.Context) error {
	if l.store == nil {
		return nil
	}
	return l.read(ctx)
}

// Refresh reads the record and returns the view after it, as Peek does. late reports that the watches
// have not reached the marks of the record.
func (l *Ledger) Refresh(ctx context.Context) (view View, late bool, err error) {
	if l.store != nil {
		if err := l.read(ctx); err != nil {
			return View{}, false, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.marks {
		late = late || l.progress[m.Kind] < m.Version
	}
	return l.peek(), late, nil
}

// settles reports whether an event settles the reservation.
func (e *entry) settles(version uint64, exists bool) bool {
	switch {
	case version == 0 || version <= e.Version:
		return false
	case e.Operation == state.Create:
		return exists
	default:
		return e.Version > 0
	}
}

// missed reports whether the watch has reached the event that settles a reservation, but did
// not show it: the object was deleted before a list. A create is settled if another replica
// has seen it, or if a later change replaces or deletes the created object.
func (l *Ledger) missed(e *entry) bool {
	id, version := e.ID(), e.Version
	switch {
	case e.Settled > 0:
		version = e.Settled
	case e.Operation == state.Create:
		if version = l.replaced[id].version; version <= e.Version {
			return false
		}
	}
	_, exists := l.versions[id]
	return !exists && version > 0 && l.progress[e.Kind] >= version
}

// finish moves an open reservation to done.
func (l *Ledger) finish(e *entry, settled uint64) {
	e.settled, e.finished = settled, time.Now()
	delete(l.open, e.key)
	l.done[e.key] = e
	openReservations.Set(float64(len(l.open)))
}

// wake continues the changes that wait.
func (l *Ledger) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// expire ends the reservations that are older than Lifetime, unless the watch may be late, and
// what is kept for late watches.
func (l *Ledger) expire(now time.Time) {
	for _, e := range l.open {
		age := now.Sub(e.seen)
		switch {
		case age < Lifetime:
		case l.missed(e):
			l.finish(e, l.progress[e.Kind])
		case e.late || age < l.late && !e.current && (l.objects != nil || e.Settled > 0):
		default:
			expired.Inc()
			l.finish(e, 0)
		}
	}
	for _, sightings := range []map[calico.ID]sighting{l.deleted, l.replaced} {
		maps.DeleteFunc(sightings, func(_ calico.ID, s sighting) bool { return now.Sub(s.at) >= l.late })
	}
	for k, e := range l.done {
		// Another replica may still write the reservation.
		if !e.shared && now.Sub(e.finished) >= l.late {
			delete(l.done, k)
		}
	}
	for kind, m := range l.marks {
		if now.Sub(m.seen) >= l.late {
			delete(l.marks, kind)
		}
	}
}

// View is what a change is decided with.
type View struct {
	// Open are the open reservations of other objects, in the order in which this replica
	// learned of them.
	Open []*Reservation

	added, learned uint64
	end            func() // of Await, nil for others
}

// Without returns the view of a change of id.
func (v View) Without(id calico.ID) View {
	v.Open = slices.DeleteFunc(slices.Clone(v.Open), func(r *Reservation) bool { return r.ID() == id })
	return v
}

// Peek returns the view of a change of an object that has no reservation, without waiting. A snapshot
// that is taken afterwards shows every change that was reserved before and is not in the view.
// A snapshot that is taken before does not: a reservation that is settled in between is in neither.
func (l *Ledger) Peek() View {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peek()
}

func (l *Ledger) peek() View {
	view := View{added: l.added, learned: l.learned}
	if len(l.open)+len(l.proposed) > 0 {
		l.expire(time.Now())
		view.Open, _ = l.others(calico.ID{})
	}
	return view
}

// Current reports whether nothing was reserved since the view v was taken, as far as the view w knows.
func (v View) Current(w View) bool { return v.added == w.added && v.learned == w.learned }

// others returns the open reservations of objects other than id, and the time of the youngest
// of those for which other changes wait: nodes that join count only if there are more than maxJoins.
func (l *Ledger) others(id calico.ID) (open []*Reservation, youngest time.Time) {
	var entries []*entry
	proposed := make(map[key]bool, len(l.proposed))
	for _, p := range l.proposed {
		proposed[p.key] = true
		if p.ID() != id {
			entries = append(entries, p.entry)
		}
	}
	joins := 0
	for _, e := range l.open {
		if e.ID() == id || proposed[e.key] || l.missed(e) {
			continue
		}
		entries = append(entries, e)
	}
	for _, e := range entries {
		if e.Joins {
			joins++
		}
	}
	for _, e := range entries {
		if e.seen.After(youngest) && (!e.Joins || joins > maxJoins) {
			youngest = e.seen
		}
	}
	slices.SortFunc(entries, func(a, b *entry) int {
		return cmp.Or(a.seen.Compare(b.seen), a.Time.Compare(b.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, e := range entries {
		open = append(open, e.Reservation)
	}
	return open, youngest
}

// Await waits until no reservation of another object is open, or until the youngest one is
// as old as Landing, nodes that join apart, and until the watches of this replica have reached all marks. A snapshot
// that is taken afterwards shows every change of the record that is not in the View. From
// the time hurry on, Await does not wait for reservations, but returns them in the View.
//
// Until the caller calls end or Reserve, Await returns to no other caller, so that no change is
// reserved in the meantime. The error wraps ErrBusy if ctx ends before the end of the wait.
func (l *Ledger) Await(ctx context.Context, id calico.ID, hurry time.Time) (view View, end func(), err error) {
	for {
		if err := l.wait(ctx, id, hurry); err != nil {
			return View{}, nil, err
		}
		select {
		case l.turn <- struct{}{}:
		case <-ctx.Done():
			return View{}, nil, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
		}
		// Others may have reserved changes while this one waited for its turn.
		view, wait, _, err := l.view(id, hurry)
		if err == nil && wait == 0 {
			view.end = sync.OnceFunc(func() { <-l.turn })
			return view, view.end, nil
		}
		<-l.turn
	}
}

// wait waits until a change of id may be decided.
func (l *Ledger) wait(ctx context.Context, id calico.ID, hurry time.Time) error {
	for {
		_, wait, changed, err := l.view(id, hurry)
		if err == nil && wait == 0 {
			return nil
		}
		if errors.Is(err, errUnread) {
			if err := l.read(ctx); err != nil {
				return err
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", cmp.Or(err, ErrBusy), ctx.Err())
		}
		timer.Stop()
	}
}

// errUnread means that the record was not read yet.
var errUnread = errors.New("the reservations were not read yet")

// view returns the view of a change of id, or how long to wait for it unless changed is
// closed before. The error is the reason if more than the age of reservations is missing.
func (l *Ledger) view(id calico.ID, hurry time.Time) (view View, wait time.Duration, changed <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.expire(now)
	if !l.known {
		return View{}, 0, nil, errUnread
	}
	if left := Lifetime - now.Sub(l.unreadable); !l.unreadable.IsZero() && left > 0 {
		return View{}, left, l.changed, fmt.Errorf("the reservations of other replicas do not parse; they expire in %s", left.Round(time.Second))
	}
	for _, m := range l.marks {
		if l.progress[m.Kind] < m.Version {
			return View{}, l.late - now.Sub(m.seen), l.changed, fmt.Errorf("%w: the watch has not shown yet how %s %s was changed", ErrBusy, m.Kind, m.Name)
		}
	}
	open, youngest := l.others(id)
	if left := min(Landing-now.Sub(youngest), hurry.Sub(now)); left > 0 {
		return View{}, left, l.changed, nil
	}
	return View{Open: open, added: l.added, learned: l.learned}, 0, nil, nil
}

// Reserve adds a reservation to the memory of this replica and to the record. If another change was
// reserved since the view was taken, it returns ErrConflict. As soon as the memory has the reservation,
// the next change may be decided: the two are then written together, with all others that wait for the
// record.
func (l *Ledger) Reserve(ctx context.Context, view View, r *Reservation) error {
	p, err := l.propose(view, r)
	if view.end != nil {
		view.end()
	}
	if err != nil || l.store == nil {
		return err
	}
	select {
	case err := <-p.outcome:
		return err
	case <-ctx.Done():
		l.withdraw(p)
		return fmt.Errorf("writing the reservations: %w", ctx.Err())
	}
}

// Keep adds a reservation to the memory of this replica. The record gets it with the next
// reservation.
func (l *Ledger) Keep(r *Reservation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prepare(r)
	l.added++
	l.add(r.key(), r, true)
}

// prepare sets the fields of a new reservation of this replica.
func (l *Ledger) prepare(r *Reservation) {
	r.Replica, r.Time = l.replica, time.Now().UTC().Truncate(time.Microsecond)
	if r.Operation == state.Create {
		// The object will be newer than what the watch has shown, and than the record.
		r.Version = max(l.progress[r.Kind], number(l.version))
	}
}

// add adds a reservation to the memory, or starts the time of a known one again.
func (l *Ledger) add(k key, r *Reservation, own bool) *entry {
	if e := l.done[k]; e != nil {
		// An object can be created again, but no version is replaced twice.
		if e.Time.Equal(r.Time) || e.settled > 0 && e.Operation != state.Create {
			return e
		}
		delete(l.done, k)
	}
	e := l.open[k]
	if e == nil || !e.Time.Equal(r.Time) {
		e = &entry{Reservation: r, key: k, seen: time.Now()}
		l.open[k] = e
	}
	e.own = e.own || own
	if r.Operation != state.Create && r.Version > l.replaced[r.ID()].version {
		l.replaced[r.ID()] = sighting{r.Version, time.Now()}
	}
	if !own && r.Settled > 0 {
		known := *e.Reservation // Callers may hold the reservation, and r is not decoded.
		known.Settled = r.Settled
		e.Reservation = &known
	}
	version, exists := l.versions[r.ID()]
	if !exists {
		version = l.deleted[r.ID()].version
	}
	if e.settles(version, exists) {
		l.finish(e, version)
	}
	openReservations.Set(float64(len(l.open)))
	return e
}

// Reviewed reports whether c is reserved and was reviewed in another API group than group.
// version returns the resourceVersion of the object before c, "" for a create. Calico's API server causes a second review of
// each change, and is the only one that has a change reviewed in crd.projectcalico.org after
// projectcalico.org. It is recognised only for a short time, because the reservation must not
// end before the change is persisted.
func (l *Ledger) Reviewed(c state.Change, group string, version func() string) bool {
	if group != calico.GroupV1 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.open {
		if e.Group == calico.GroupV3 && e.same(c) && time.Since(e.seen) < secondReview && (e.Operation == state.Create || e.Version == number(version())) {
			return true
		}
	}
	return false
}

// read reads the record.
func (l *Ledger) read(ctx context.Context) error {
	l.mu.Lock()
	before := l.version
	l.mu.Unlock()
	record, version, err := l.store.Read(ctx)
	if err != nil {
		return fmt.Errorf("reading the reservations: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.version == before {
		l.replace(record, version)
	} else { // A newer record can have come from a watch or a write.
		l.merge(record, version)
	}
	l.wake()
	return nil
}

// Update replaces the record by a newer version of it. An older version is ignored.
func (l *Ledger) Update(record []byte, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.merge(record, version)
	l.wake()
}

// Sweep ends the reservations that expired. It reads the objects of those that are older than
// Lifetime, at most sweepReads of them.
func (l *Ledger) Sweep(ctx context.Context) {
	for _, id := range l.overdue() {
		version, err := l.objects.Current(ctx, id)
		if err != nil {
			l.log.Error(err, "Cannot read an object whose reservation has no outcome yet, retrying", "object", id.String())
			break
		}
		l.compare(id, version)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(time.Now())
}

// sweepReads bounds the objects that one Sweep reads.
const sweepReads = 10

// overdue returns the objects of open reservations that are older than Lifetime.
func (l *Ledger) overdue() []calico.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []calico.ID
	for _, e := range l.open {
		if l.objects != nil && time.Since(e.seen) >= Lifetime && !e.current && len(out) < sweepReads && !slices.Contains(out, e.ID()) {
			out = append(out, e.ID())
		}
	}
	return out
}

// compare compares the version of an object at the API server, "" for none, with the one that
// the watch has shown, in the reservations of the object that are older than Lifetime.
func (l *Ledger) compare(id calico.ID, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	shown, exists := l.versions[id]
	current := exists == (version != "") && shown >= number(version)
	for _, e := range l.open {
		if e.ID() != id || time.Since(e.seen) < Lifetime {
			continue
		}
		e.current, e.late = current, !current
	}
}
