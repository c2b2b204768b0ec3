package reserve

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Bounds of the record, in bytes. etcd stores each of its versions for some minutes, so it
// must be small. The API server accepts ConfigMaps of up to 1 MiB.
const (
	maxObject  = 256 << 10
	maxRecord  = 768 << 10
	maxSettled = 32 << 10
)

// record is what replicas share.
type record struct {
	Reservations []*Reservation `json:"reservations"`
	// Settled has the newest mark of each kind.
	Settled []mark `json:"settled,omitempty"`
}

// encode returns the record with the proposed reservations. It drops what expired. It replaces
// settled reservations by marks if they are old, or if they have more than maxSettled bytes.
func (l *Ledger) encode() ([]byte, error) {
	now := time.Now()
	l.expire(now)
	out := record{Reservations: []*Reservation{}}
	proposed := make(map[key]bool, len(l.proposed))
	for _, p := range l.proposed {
		proposed[p.key] = true
		out.Reservations = append(out.Reservations, p.Reservation)
	}
	for k, e := range l.open {
		if (e.own || e.shared) && !proposed[k] {
			out.Reservations = append(out.Reservations, e.Reservation)
		}
	}
	marks, size := maps.Clone(l.marks), 0
	settled := slices.SortedFunc(maps.Values(l.done), func(a, b *entry) int { return b.finished.Compare(a.finished) })
	for _, e := range settled {
		if !e.shared || e.settled == 0 || proposed[e.key] {
			continue
		}
		if size += len(e.Object) + len(e.Name) + len(e.User) + 200; size <= maxSettled && now.Sub(e.finished) < keepSettled {
			shared := *e.Reservation
			shared.Settled = e.settled
			out.Reservations = append(out.Reservations, &shared)
			continue
		}
		if m := e.mark(now); m.Version > marks[m.Kind].Version {
			marks[m.Kind] = m
		}
	}
	slices.SortFunc(out.Reservations, func(a, b *Reservation) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	out.Settled = slices.SortedFunc(maps.Values(marks), func(a, b mark) int { return cmp.Compare(a.Kind, b.Kind) })
	text, err := json.Marshal(out)
	if err == nil && len(text) > maxRecord {
		err = fmt.Errorf("%d changes are in flight, and their objects have more than %d bytes", len(out.Reservations), maxRecord)
	}
	return text, err
}

func (e *entry) mark(now time.Time) mark {
	return mark{Kind: e.Kind, Name: e.Name, Version: e.settled, seen: now}
}

// decode returns the record in text, and the keys of its reservations. It decodes only the
// objects of reservations that are not known.
func (l *Ledger) decode(text []byte) (r record, keys []key, err error) {
	if len(text) == 0 {
		return r, nil, nil
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, nil, err
	}
	var errs []error
	for _, reservation := range r.Reservations {
		if reservation == nil {
			return record{}, nil, errors.New("a reservation is null")
		}
		k := reservation.key()
		keys = append(keys, k)
		if e := l.find(k); e == nil || !e.Time.Equal(reservation.Time) {
			errs = append(errs, reservation.decode())
		}
	}
	return r, keys, errors.Join(errs...)
}

// find returns the entry of a key, nil if there is none.
func (l *Ledger) find(k key) *entry {
	if e := l.open[k]; e != nil {
		return e
	}
	return l.done[k]
}

// merge replaces the record by a newer version.
func (l *Ledger) merge(text []byte, version string) {
	if !l.known || number(version) > number(l.version) {
		l.replace(text, version)
	}
}

// replace replaces the record by one that was read. Its version may be lower than the last
// one: etcd was restored from a backup. With version "" there is no record: it was deleted,
// and the next one gets all reservations.
func (l *Ledger) replace(text []byte, version string) {
	if l.written(text) {
		l.resolve(l.writing, nil)
	} else if version != l.version {
		l.learned++
	}
	r, keys, err := l.decode(text)
	l.known, l.version = true, version
	if err != nil {
		if l.unreadable.IsZero() {
			l.unreadable = time.Now()
			l.log.Error(err, "The reservations do not parse, waiting until they expire", "version", version)
		}
		return
	}
	l.unreadable = time.Time{}
	if version == "" {
		return
	}
	for _, entries := range []map[key]*entry{l.open, l.done} {
		for _, e := range entries {
			e.shared = false
		}
	}
	for i, reservation := range r.Reservations {
		l.add(keys[i], reservation, false).shared = true
	}
	for _, m := range r.Settled {
		if m.Version > l.marks[m.Kind].Version {
			m.seen = time.Now()
			l.marks[m.Kind] = m
		}
	}
}
