package reserve

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"
)

// writeTime bounds one write of the record: the longest time that a request waits for an answer.
const writeTime = 5 * time.Second

// draft is a reservation that the record does not hold yet.
type draft struct {
	*entry

	// learned is what this replica had learned when the change was decided.
	learned uint64
	// outcome receives once: nil if the record holds the reservation.
	outcome chan error
}

// batch is a record with drafts, in place of the given version of it.
type batch struct {
	drafts  []*draft
	record  []byte
	version string
}

// propose adds the reservation of a change that was decided with a view. Without a store it is open at once.
func (l *Ledger) propose(view View, r *Reservation) (*draft, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if view.added != l.added || view.learned != l.learned {
		conflicts.Inc()
		return nil, ErrConflict
	}
	l.prepare(r)
	l.added++
	if l.store == nil {
		l.add(r.key(), r, true)
		return nil, nil
	}
	p := &draft{entry: &entry{Reservation: r, key: r.key(), seen: time.Now(), own: true}, learned: l.learned, outcome: make(chan error, 1)}
	l.proposed = append(l.proposed, p)
	if !l.writes { // Otherwise write finds it.
		l.writes = true
		go l.write()
	}
	return p, nil
}

// write writes the record until no draft is left. One write holds all that wait for it. The requests
// do not write themselves: none then fails because the time of another one ends.
func (l *Ledger) write() {
	for b, left := l.next(); left; b, left = l.next() {
		if b == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), writeTime)
		version, err := l.store.Write(ctx, b.record, b.version)
		if errors.Is(err, ErrConflict) {
			if unread := l.read(ctx); unread != nil {
				err = unread
			}
		}
		cancel()
		l.mu.Lock()
		if err == nil {
			l.merge(b.record, version)
		}
		if l.writing == b { // Otherwise the watch has shown the record already.
			l.resolve(b, err)
		}
		l.mu.Unlock()
	}
}

// next returns the next record to write, nil if its drafts have failed. left is false if there are no
// drafts. A draft whose change was decided before this replica learned of a record fails: the change
// must be decided again.
func (l *Ledger) next() (b *batch, left bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	outdated := slices.DeleteFunc(slices.Clone(l.proposed), func(p *draft) bool { return p.learned == l.learned })
	l.resolve(&batch{drafts: outdated}, ErrConflict)
	if len(l.proposed) == 0 {
		l.writes = false
		return nil, false
	}
	b = &batch{drafts: slices.Clone(l.proposed), version: l.version}
	var err error
	if b.record, err = l.encode(); err != nil {
		l.resolve(b, err)
		return nil, true
	}
	l.writing = b
	return b, true
}

// resolve ends drafts: they are open, or they have failed.
func (l *Ledger) resolve(b *batch, err error) {
	if l.writing == b {
		l.writing = nil
	}
	for _, p := range b.drafts {
		l.proposed = slices.DeleteFunc(l.proposed, func(other *draft) bool { return other == p })
		if err == nil {
			l.add(p.key, p.Reservation, true).shared = true
		} else if errors.Is(err, ErrConflict) {
			conflicts.Inc()
		}
		p.outcome <- err
	}
	if err != nil && len(b.drafts) > 0 {
		l.wake()
	}
}

// withdraw ends a draft whose request does not wait any longer, unless it is being written.
func (l *Ledger) withdraw(p *draft) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writing == nil || !slices.Contains(l.writing.drafts, p) {
		l.proposed = slices.DeleteFunc(l.proposed, func(other *draft) bool { return other == p })
		l.wake()
	}
}

// written reports whether text is the record that is being written: the watch can show it before the answer
// to the write arrives.
func (l *Ledger) written(text []byte) bool {
	return l.writing != nil && bytes.Equal(text, l.writing.record)
}
