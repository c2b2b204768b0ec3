// Package cluster follows the objects of an API server in snapshots, or reads them once.
// It is the only reader of a live cluster.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// bulkFrom is the number of changed objects from which a snapshot is built from all
// objects and not from the last snapshot. Each single change copies a slice of pointers,
// which at 5,000 nodes takes about 1/50 of the time of sorting all of them.
const bulkFrom = 50

// Store holds the latest version of each object of the state that the API server sent,
// and builds snapshots of them. A Follower feeds it.
type Store struct {
	log logr.Logger
	// elapsed returns the time since the store was created. A clock that is set forward or back
	// does not change it.
	elapsed  func() time.Duration
	maxAge   time.Duration // 0 means no bound
	capacity Capacity
	intern   interner
	announce loop.Signal
	observer Observer

	mu sync.Mutex
	// exceeded reports that the state was too large when that was last checked.
	exceeded bool
	// shown are the newest versions of events.
	shown map[calico.Kind]float64
	// contents are those of the API group that Calico reads.
	*contents
	// other are the contents of the other API group, nil unless it is not known which group Calico
	// reads.
	other *contents
	both  both
	// unknown is why the kinds that the API server serves are not known yet.
	unknown error
}

// contents are the objects of one of Calico's API groups, the Nodes and the Secrets.
type contents struct {
	group       schema.GroupVersion // zero until it is known
	objects     map[calico.ID]calico.Object
	counts      map[calico.Kind]int
	undecodable map[calico.ID]string
	typha       state.Typha
	// pending holds the ids of the objects that differ from those in current.
	pending map[calico.ID]struct{}
	current *state.Snapshot
	// feeds is nil until the kinds that the API server serves are known. The feeds of Nodes and
	// Secrets feed both contents.
	feeds []*feed
}

func newContents(group schema.GroupVersion) *contents {
	return &contents{
		group: group, objects: map[calico.ID]calico.Object{}, counts: map[calico.Kind]int{}, undecodable: map[calico.ID]string{}, pending: map[calico.ID]struct{}{},
		current: (*state.Snapshot)(nil).ReadFrom(versionOf(group), nil),
	}
}

// versionOf returns the API version of a group, "" for the zero group.
func versionOf(group schema.GroupVersion) string {
	if group.Empty() {
		return ""
	}
	return group.String()
}

// both caches the snapshot with the states of both groups.
type both struct{ live, other, joined *state.Snapshot }

// feed is the source of the objects of one kind.
type feed struct {
	kind calico.Kind
	// observation is true for kinds that do not decide BGP. No snapshot waits for them. A
	// snapshot contains either all of their objects or none.
	observation bool
	// lastContact is when the API server last answered for this kind, as the store's elapsed
	// time in nanoseconds.
	lastContact atomic.Int64
	// informer holds the objects of the kind. It is nil until it exists.
	informer atomic.Pointer[toolscache.SharedIndexInformer]
	// synced is closed when all objects of the initial list are in the store.
	synced chan struct{}
}

func (f *feed) isSynced() bool {
	select {
	case <-f.synced:
		return true
	default:
		return false
	}
}

// Observer receives what the watches of the kinds that decide BGP show. All versions are
// resourceVersions.
type Observer interface {
	// List is called before the objects of a list are observed.
	List(kind calico.Kind, version string)
	// Observe is called for each event, after Snapshot returns the state with it: the object
	// exists in a version, or was deleted. A deletion that the watch missed has no version.
	Observe(id calico.ID, version string, exists bool)
	// Confirm is called when all events up to a version are received. They are observed if
	// Observe was called for the objects, which are the names and versions of all objects of
	// the kind.
	Confirm(kind calico.Kind, version string, objects iter.Seq2[string, string])
}

// noObserver is the Observer of a store without one.
type noObserver struct{}

// List implements Observer.
func (noObserver) List(calico.Kind, string) {}

// Observe implements Observer.
func (noObserver) Observe(calico.ID, string, bool) {}

// Confirm implements Observer.
func (noObserver) Confirm(calico.Kind, string, iter.Seq2[string, string]) {}

// NewStore returns an empty store.
func NewStore(log logr.Logger) *Store {
	began := time.Now()
	return &Store{
		log:      log,
		elapsed:  func() time.Duration { return time.Since(began) },
		announce: loop.NewSignal(),
		observer: noObserver{},
		shown:    map[calico.Kind]float64{},
		contents: newContents(schema.GroupVersion{}),
	}
}

// MinMaxAge is the smallest bound for the age of a snapshot. The API server answers about
// once a minute even if nothing changes: watches request bookmarks, which it sends at this
// interval (k8s.io/apiserver/pkg/storage/cacher, defaultBookmarkFrequency), and a watch that
// it ends is followed by the next one within seconds.
const MinMaxAge = 90 * time.Second

// SetMaxAge bounds the age of snapshots: Snapshot and Check fail if it is exceeded. Call it
// before the store is used. Without a call there is no bound.
func (s *Store) SetMaxAge(age time.Duration) { s.maxAge = age }

// SetCapacity bounds the BGPPeers of the state: Snapshot and Check fail if they exceed it by more than a tenth. No snapshot is
// built then, so that memory suffices for the objects. Call it before the store is used.
func (s *Store) SetCapacity(c Capacity) { s.capacity = c }

// Snapshot returns the current state and its age: the longest time since the API
// server last answered for a kind, over all kinds except observations. It answers about
// once a minute even if nothing changes. Errors wrap state.ErrNotSynced, state.ErrTooLarge or state.ErrStale.
// With state.ErrStale the age is valid.
func (s *Store) Snapshot() (*state.Snapshot, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.notSynced(), s.tooLarge()); err != nil {
		return nil, 0, err
	}
	if err := s.stale(); err != nil {
		return nil, s.age(), err
	}
	return s.build(), s.age(), nil
}

// Check is a healthz.Checker for readiness. It fails until there is a snapshot, and while the
// snapshot is older than the bound. The error names the missing or stale kinds.
func (s *Store) Check(*http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.notSynced(), s.tooLarge()); err != nil {
		return err
	}
	return s.stale()
}

// Full returns why the state is too large to be evaluated, "" if it is not.
func (s *Store) Full() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.tooLarge(); err != nil {
		return err.Error()
	}
	return ""
}

// tooLarge returns an error if the state has too many BGPPeers, while they are read as well.
func (s *Store) tooLarge() error {
	err := s.capacity.check(s.counts[calico.KindNode], s.counts[calico.KindBGPPeer])
	if err != nil && !s.exceeded {
		s.log.Error(err, "Cannot evaluate changes")
	}
	s.exceeded = err != nil
	return err
}

// Unread returns the objects that do not decode and are therefore not in the state, and those with
// a field that does not decode, sorted by kind and name.
func (s *Store) Unread() []Unread {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Unread, 0, len(s.undecodable))
	for id, text := range s.undecodable {
		o := s.objects[id]
		out = append(out, Unread{Kind: id.Kind, Name: id.Name, Err: errors.New(text), Field: o != nil && !calico.IsUnparsed(o)})
	}
	slices.SortFunc(out, func(a, b Unread) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return out
}

// SetObserver sets the observer of the watches. Call it before the follower starts.
func (s *Store) SetObserver(observer Observer) { s.observer = observer }

// SetTypha sets whether Typha is installed. Call it before the follower starts.
func (s *Store) SetTypha(t state.Typha) { s.contents.setTypha(t) }

func (s *contents) setTypha(t state.Typha) { s.typha, s.current = t, s.current.WithTypha(t) }

// Announce makes the follower announce the snapshot as if it had changed.
func (s *Store) Announce() { s.announce.Send() }

// announceTo calls changed with the current snapshot after every change, once for all changes
// since the last call. Before, it calls idle, which may wait: changes during that time are in the
// snapshot and need no call of their own. Between the calls no snapshot is built for changed.
func (s *Store) announceTo(ctx context.Context, idle func(context.Context), changed func(context.Context, *state.Snapshot)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.announce:
			idle(ctx)
			s.announce.Clear() // Before the snapshot: a change after it is sent again.
			if snapshot, ok := s.latest(); ok && ctx.Err() == nil {
				changed(ctx, snapshot)
			}
		}
	}
}

// latest returns the current state of any age, false if some objects have not been read yet.
// An announcement of a stale state is not repeated when the API server answers again.
func (s *Store) latest() (*state.Snapshot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notSynced() != nil || s.tooLarge() != nil {
		return nil, false
	}
	return s.build(), true
}

// stale returns an error if the age of the state exceeds the bound.
func (s *Store) stale() error {
	age := s.age()
	if s.maxAge == 0 || age <= s.maxAge {
		return nil
	}
	var kinds []string
	current := 0
	for _, f := range s.read() {
		switch {
		case f.observation:
		case s.elapsed()-time.Duration(f.lastContact.Load()) > s.maxAge:
			kinds = append(kinds, string(f.kind))
		default:
			current++
		}
	}
	if current == 0 {
		return fmt.Errorf("%w: for %s the API server has sent nothing, limit %s: check that bgpguard can reach it",
			state.ErrStale, age.Round(time.Second), s.maxAge)
	}
	return fmt.Errorf("%w: for %s the API server has sent nothing about %s, limit %s: check that bgpguard can reach it, and list and watch these objects",
		state.ErrStale, age.Round(time.Second), strings.Join(kinds, ", "), s.maxAge)
}

func (s *Store) notSynced() error {
	if s.feeds == nil && s.unknown != nil {
		return fmt.Errorf("%w: %w", state.ErrNotSynced, s.unknown)
	}
	if s.feeds == nil {
		return fmt.Errorf("%w: no API group that serves BGPPeers was found yet", state.ErrNotSynced)
	}
	var missing []string
	for _, f := range s.read() {
		if !f.observation && !f.isSynced() {
			missing = append(missing, string(f.kind))
		}
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("%w: still reading %s from the API server", state.ErrNotSynced, strings.Join(missing, ", "))
}

// readsBoth reports whether snapshots have the state of the other API group, too. They do not wait for
// it: what is served as projectcalico.org may be Calico's API server, which may not answer.
func (s *Store) readsBoth() bool { return s.other != nil && s.other.isSynced() }

// read returns the feeds of the contents from which snapshots are built.
func (s *Store) read() []*feed {
	if !s.readsBoth() {
		return s.feeds
	}
	return slices.Concat(s.feeds, s.other.feeds)
}

// build returns the current state, with that of the other API group if it is not known which
// one Calico reads. O(1) if nothing changed.
func (s *Store) build() *state.Snapshot {
	live := s.contents.build()
	if !s.readsBoth() {
		return live
	}
	if other := s.other.build(); s.both.live != live || s.both.other != other {
		s.both = both{live, other, live.ReadFrom(live.APIVersion(), other)}
	}
	return s.both.joined
}

// build updates current and returns it. O(1) if nothing changed.
func (s *contents) build() *state.Snapshot {
	switch {
	case len(s.pending) == 0:
		return s.current
	case len(s.pending) >= bulkFrom:
		all := make([]calico.Object, 0, len(s.objects))
		for id, o := range s.objects {
			if !s.withholds(id.Kind) {
				all = append(all, o)
			}
		}
		s.current = state.New(all...).Knowing(s.kinds()...).ReadFrom(versionOf(s.group), nil).WithTypha(s.typha).Sharing(s.current)
	default:
		for id := range s.pending {
			c := state.Change{Before: s.current.Get(id), After: s.objects[id]}
			if c.Before != nil || c.After != nil { // Otherwise the object was created and deleted.
				s.current = s.current.Apply(c)
			}
		}
	}
	clear(s.pending)
	return s.current
}

func (s *Store) age() time.Duration {
	now := s.elapsed()
	oldest := now
	for _, f := range s.read() {
		if !f.observation {
			oldest = min(oldest, time.Duration(f.lastContact.Load()))
		}
	}
	return now - oldest
}

// follow adds a feed for each kind.
func (s *Store) follow(kinds []calico.Kind) { s.followIn(s.contents, kinds) }

// followIn adds a feed for each kind to contents, and returns the new feeds.
func (s *Store) followIn(c *contents, kinds []calico.Kind) []*feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	var added []*feed
	for _, kind := range kinds {
		f := &feed{kind: kind, observation: kind.Info().Observation, synced: make(chan struct{})}
		f.lastContact.Store(int64(s.elapsed()))
		added = append(added, f)
	}
	c.feeds = append(c.feeds, added...)
	c.current = c.current.Knowing(c.kinds()...)
	return added
}

// followOther begins to follow the other API group, with the Nodes and Secrets of the first one.
// Until settle, snapshots have the states of both groups.
func (s *Store) followOther(group schema.GroupVersion) *contents {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newContents(group)
	c.setTypha(s.typha)
	for _, f := range s.feeds {
		if !f.kind.Info().Calico {
			c.feeds = append(c.feeds, f)
		}
	}
	for id, o := range s.objects {
		if !id.Kind.Info().Calico {
			c.set(id, o)
		}
	}
	for id, text := range s.undecodable {
		if !id.Kind.Info().Calico {
			c.undecodable[id] = text
		}
	}
	s.other = c
	return c
}

// settle ends that snapshots have the states of both groups: they have that of group. It returns the
// contents that are no longer followed, nil if there are none. It changes nothing while the objects
// of the group have not been read.
func (s *Store) settle(group schema.GroupVersion) (dropped *contents) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.other == nil:
		return nil
	case s.contents.group == group:
		dropped = s.other
	case s.other.isSynced():
		dropped, s.contents = s.contents, s.other
	default:
		return nil
	}
	s.other, s.both = nil, both{}
	s.Announce()
	return dropped
}

// setGroup sets the group from which the objects are read, before they are.
func (s *Store) setGroup(group schema.GroupVersion) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.group, s.current = group, s.current.ReadFrom(versionOf(group), nil)
}

// isLive reports whether contents are those of the group that Calico reads.
func (s *Store) isLive(c *contents) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.contents == c
}

// liveFeeds returns the feeds of the group that Calico reads.
func (s *Store) liveFeeds() []*feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.feeds)
}

// otherGroup returns the group that is followed, too, the zero group if there is none.
func (s *Store) otherGroup() schema.GroupVersion {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.other == nil {
		return schema.GroupVersion{}
	}
	return s.other.group
}

// information returns the ClusterInformation of a group, nil if there is none. ok is false if
// the store has not read it.
func (s *Store) information(group schema.GroupVersion) (found *calico.ClusterInformation, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range []*contents{s.contents, s.other} {
		if c == nil || c.group != group {
			continue
		}
		if feed := c.feed(calico.KindClusterInformation); feed != nil && feed.isSynced() {
			return c.build().ClusterInformation(), true
		}
	}
	return nil, false
}

// isSynced reports whether all objects that decide BGP have been read.
func (s *contents) isSynced() bool {
	return !slices.ContainsFunc(s.feeds, func(f *feed) bool { return !f.observation && !f.isSynced() })
}

// fed returns the contents with a feed.
func (s *Store) fed(f *feed) []*contents {
	var out []*contents
	for _, c := range []*contents{s.contents, s.other} {
		if c != nil && slices.Contains(c.feeds, f) {
			out = append(out, c)
		}
	}
	return out
}

// notFound records why the kinds that the API server serves are not known yet.
func (s *Store) notFound(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unknown = err
}

// synced records that all objects of a feed's initial list are in the store.
func (s *Store) synced(f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(f.synced)
	if f.observation {
		for _, c := range s.fed(f) {
			c.current = c.current.Knowing(f.kind)
			for id := range c.objects {
				if id.Kind == f.kind {
					c.pending[id] = struct{}{}
				}
			}
		}
	}
	s.Announce()
}

// kinds returns the kinds for which a snapshot contains all objects.
func (s *contents) kinds() []calico.Kind {
	var kinds []calico.Kind
	for _, f := range s.feeds {
		if !f.observation || f.isSynced() {
			kinds = append(kinds, f.kind)
		}
	}
	return kinds
}

// withholds reports whether snapshots do not contain the objects of a kind yet.
func (s *contents) withholds(kind calico.Kind) bool {
	return slices.ContainsFunc(s.feeds, func(f *feed) bool { return f.kind == kind && f.observation && !f.isSynced() })
}

// feed returns the feed of a kind, nil if the store does not follow the kind.
func (s *Store) feed(kind calico.Kind) *feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.contents.feed(kind)
}

// feedOf returns the feed of a kind in an API version, nil if the store does not follow it.
func (s *Store) feedOf(apiVersion string, kind calico.Kind) *feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.other != nil && versionOf(s.other.group) == apiVersion {
		return s.other.feed(kind)
	}
	return s.contents.feed(kind)
}

func (s *contents) feed(kind calico.Kind) *feed {
	for _, f := range s.feeds {
		if f.kind == kind {
			return f
		}
	}
	return nil
}

// in returns the contents that hold the objects of a kind which a watch of c shows: Nodes and
// Secrets are in the contents of both API groups.
func (s *Store) in(c *contents, kind calico.Kind) []*contents {
	switch {
	case kind.Info().Calico:
		return []*contents{c}
	case s.other == nil:
		return []*contents{s.contents}
	default:
		return []*contents{s.contents, s.other}
	}
}

// put stores an object as the API server sent it, or the error of decoding it. An object that
// does not decode at all is unread in the state.
func (s *Store) put(c *contents, id calico.ID, o calico.Object, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.in(c, id.Kind) {
		odd := calico.Odd(o)
		switch {
		case err == nil && len(odd) == 0:
			delete(c.undecodable, id)
		case err == nil && calico.IsUnparsed(o):
			s.logOnce(c, id, &odd[0], "Ignoring an object that Calico skips")
		case err == nil:
			s.logOnce(c, id, &odd[0], "An object has a value that Calico cannot decode")
		default:
			s.logOnce(c, id, err, "Ignoring an object that does not parse")
			o = nil
			if !id.Kind.Info().Observation {
				o = calico.NewUnparsed(id, err)
			}
		}
		s.set(c, id, o)
	}
}

// logOnce logs what does not decode in an object, unless it is the same as before.
func (s *Store) logOnce(c *contents, id calico.ID, err error, message string) {
	if c.undecodable[id] != err.Error() {
		c.undecodable[id] = err.Error()
		s.log.Error(err, message, "kind", id.Kind, "name", id.Name)
	}
}

// remove removes a deleted object.
func (s *Store) remove(c *contents, id calico.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.in(c, id.Kind) {
		delete(c.undecodable, id)
		s.set(c, id, nil)
	}
}

// set replaces an object of contents, and announces the snapshot if it changes.
func (s *Store) set(c *contents, id calico.ID, o calico.Object) {
	if c.set(id, o) {
		s.Announce()
	}
}

// set keeps the old object if the new one is equal to it, as in most updates of a Node, so
// that the snapshot and everything that is computed from it stay valid. It reports whether the
// snapshot changes.
func (s *contents) set(id calico.ID, o calico.Object) bool {
	old := s.objects[id]
	if calico.Equal(old, o) {
		return false
	}
	if o == nil {
		delete(s.objects, id)
	} else {
		s.objects[id] = o
	}
	s.counts[id.Kind] += parsed(o) - parsed(old)
	if s.withholds(id.Kind) {
		return false
	}
	s.pending[id] = struct{}{}
	return true
}

// parsed returns 1 for an object that parses, 0 for nil and for one that does not.
func parsed(o calico.Object) int {
	if o == nil || calico.IsUnparsed(o) {
		return 0
	}
	return 1
}
