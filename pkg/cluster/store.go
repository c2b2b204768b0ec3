// Package cluster keeps a snapshot in step with an API server, or reads it once. It
// is the only reader of a live cluster.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// bulkFrom is the number of changed objects from which a snapshot is made anew
// rather than from the last one. One by one, each costs a copy of a slice of
// pointers, at 5,000 nodes about 1/50 of sorting them all.
const bulkFrom = 50

// Store holds the objects that decide BGP as the API server last told them,
// and makes snapshots of them. A Follower feeds it.
type Store struct {
	log      logr.Logger
	now      func() time.Time
	intern   interner
	announce chan struct{}

	mu          sync.Mutex
	objects     map[calico.ID]calico.Object
	counts      map[calico.Kind]int
	undecodable map[calico.ID]string
	// pending names the objects that differ from those in current.
	pending map[calico.ID]struct{}
	current *state.Snapshot
	// feeds is nil until it is known which kinds the API server serves.
	feeds []*feed
}

// feed is where the objects of one kind come from.
type feed struct {
	kind calico.Kind
	// extra tells that nothing is judged by the kind: no snapshot waits for it, and
	// none holds any of it before all of it was read.
	extra bool
	// heard is when the API server last spoke of this kind, in Unix nanoseconds.
	heard atomic.Int64
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

// NewStore returns an empty store.
func NewStore(log logr.Logger) *Store {
	return &Store{
		log:         log,
		now:         time.Now,
		announce:    make(chan struct{}, 1),
		objects:     map[calico.ID]calico.Object{},
		counts:      map[calico.Kind]int{},
		undecodable: map[calico.ID]string{},
		pending:     map[calico.ID]struct{}{},
	}
}

// Snapshot returns the state as it is known now and how old that knowledge is:
// the time since the API server was last heard of by the kind that has been
// silent longest, of those by which something is judged. The API server speaks
// up about once a minute even where nothing changes. Errors are state.ErrNotSynced.
func (s *Store) Snapshot() (*state.Snapshot, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.notSynced(); err != nil {
		return nil, 0, err
	}
	return s.build(), s.age(), nil
}

// Check is a healthz.Checker for readiness: it fails until there is a snapshot
// and says which kinds are missing.
func (s *Store) Check(*http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notSynced()
}

// Unread returns the objects that do not decode, and so are left out of the state,
// sorted by kind and name.
func (s *Store) Unread() []Unread {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Unread, 0, len(s.undecodable))
	for id, text := range s.undecodable {
		out = append(out, Unread{Kind: id.Kind, Name: id.Name, Err: errors.New(text)})
	}
	slices.SortFunc(out, func(a, b Unread) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return out
}

// Announce has the snapshot announced again as if it had changed.
func (s *Store) Announce() {
	select {
	case s.announce <- struct{}{}:
	default: // An announcement that is still to be made covers this one.
	}
}

// announceTo calls changed with the current snapshot after every change, once
// for all changes that happened since the last call.
func (s *Store) announceTo(ctx context.Context, changed func(context.Context, *state.Snapshot)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.announce:
			if snapshot, _, err := s.Snapshot(); err == nil {
				changed(ctx, snapshot)
			}
		}
	}
}

func (s *Store) notSynced() error {
	if s.feeds == nil {
		return fmt.Errorf("%w: no API group that serves BGPPeers was found yet", state.ErrNotSynced)
	}
	var missing []string
	for _, f := range s.feeds {
		if !f.extra && !f.isSynced() {
			missing = append(missing, string(f.kind))
		}
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("%w: still reading %s from the API server", state.ErrNotSynced, strings.Join(missing, ", "))
}

// build brings current up to date. It is O(1) where nothing changed.
func (s *Store) build() *state.Snapshot {
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
		s.current = state.New(all...).Knowing(s.kinds()...).Sharing(s.current)
	default:
		for id := range s.pending {
			c := state.Change{Before: s.current.Get(id), After: s.objects[id]}
			if c.Before != nil || c.After != nil { // else it came and went
				s.current = s.current.Apply(c)
			}
		}
	}
	clear(s.pending)
	return s.current
}

func (s *Store) age() time.Duration {
	oldest := s.now().UnixNano()
	for _, f := range s.feeds {
		if !f.extra {
			oldest = min(oldest, f.heard.Load())
		}
	}
	return s.now().Sub(time.Unix(0, oldest))
}

// follow says which kinds will be fed.
func (s *Store) follow(kinds []calico.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kind := range kinds {
		f := &feed{kind: kind, extra: kind.Info().Observation, synced: make(chan struct{})}
		f.heard.Store(s.now().UnixNano())
		s.feeds = append(s.feeds, f)
	}
	s.current = s.current.Knowing(s.kinds()...)
}

// read takes in that all objects of a feed's initial list are in the store.
func (s *Store) read(f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(f.synced)
	if f.extra {
		s.current = s.current.Knowing(f.kind)
		for id := range s.objects {
			if id.Kind == f.kind {
				s.pending[id] = struct{}{}
			}
		}
	}
	s.Announce()
}

// kinds are those of which a snapshot holds all objects.
func (s *Store) kinds() []calico.Kind {
	var kinds []calico.Kind
	for _, f := range s.feeds {
		if !f.extra || f.isSynced() {
			kinds = append(kinds, f.kind)
		}
	}
	return kinds
}

// withholds reports whether snapshots are made without the objects of a kind.
func (s *Store) withholds(kind calico.Kind) bool {
	return slices.ContainsFunc(s.feeds, func(f *feed) bool { return f.kind == kind && f.extra && !f.isSynced() })
}

// feed returns the feed of a kind, nil where it is not followed.
func (s *Store) feed(kind calico.Kind) *feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.feeds {
		if f.kind == kind {
			return f
		}
	}
	return nil
}

// put takes in an object as the API server told it, or the error with which it
// does not decode. Such an object is left out of the state: a half-read one
// would be judged as something that it is not.
func (s *Store) put(id calico.ID, o calico.Object, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.undecodable[id] != err.Error() {
			s.undecodable[id] = err.Error()
			s.log.Error(err, "An object does not parse and is left out of the state", "kind", id.Kind, "name", id.Name)
		}
		s.set(id, nil)
		return
	}
	delete(s.undecodable, id)
	s.set(id, o)
}

// remove takes in that an object is gone.
func (s *Store) remove(id calico.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.undecodable, id)
	s.set(id, nil)
}

// set keeps the old object where the new one says the same, as most updates of
// a Node do: neither a snapshot nor anything computed from one is made anew.
func (s *Store) set(id calico.ID, o calico.Object) {
	old := s.objects[id]
	if calico.Equal(old, o) {
		return
	}
	if o == nil {
		delete(s.objects, id)
		s.counts[id.Kind]--
	} else {
		s.objects[id] = o
	}
	if old == nil {
		s.counts[id.Kind]++
	}
	if s.withholds(id.Kind) {
		return
	}
	s.pending[id] = struct{}{}
	s.Announce()
}
