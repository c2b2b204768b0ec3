package auditor

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// ConfigMapName is that of the ConfigMap in bgpguard's namespace that holds what is to
// be known of the audits so far, for the replica that is elected next.
const ConfigMapName = "bgpguard-audit"

const (
	// recordKey is the ConfigMap's key of the record, formatKey that of its format.
	recordKey = "record.json.gz"
	formatKey = "format"
	// format is raised when an older bgpguard could not read the record.
	format = "1"
	// maxRecord is how long an encoded record may be in bytes: the API server takes
	// ConfigMaps of up to 1 MiB.
	maxRecord = 900 << 10
	// maxDecoded bounds what a record is unpacked to. The longest that tests make takes
	// a third.
	maxDecoded = 32 << 20
	// trailRefresh is how soon the record is written again where nothing is new but
	// the state: what is remembered of the state does not reach back much longer.
	trailRefresh = pastLimit / 2
)

// record is what is to be known of the audits so far.
type record struct {
	// Trail is nil before the first audit.
	Trail *audit.Trail `json:"trail"`
	// Omitted counts the violations that are not in the trail for want of space.
	Omitted int `json:"omitted,omitempty"`
	// Notices are those that were, or are, to be sent.
	Notices []notice `json:"notices,omitempty"`
}

// fit leaves out the least severe violations until the record is short enough, and
// counts what is left out of the given number.
func (r *record) fit(violations int) {
	if more := len(r.Notices) - maxNotices; more > 0 {
		r.Notices = slices.Delete(r.Notices, 0, more)
	}
	t := r.Trail
	for size := r.size(); size > maxRecord && len(t.Violations) > 0; size = r.size() {
		// A little more than the share that is too much, as it does not compress evenly.
		keep := len(t.Violations) * (maxRecord * 19 / 20) / size
		slices.SortStableFunc(t.Violations, func(a, b audit.Seen) int { return cmp.Compare(audit.Rank(a.Severity), audit.Rank(b.Severity)) })
		t.Violations = t.Violations[:keep:keep]
		slices.SortFunc(t.Violations, func(a, b audit.Seen) int { return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.ID, b.ID)) })
	}
	r.Omitted = max(0, violations-len(t.Violations))
}

// size is at least how long the record is when it is encoded, in bytes.
func (r *record) size() int {
	text := r.text()
	if len(text) <= maxRecord { // Hardly any record is longer before it is packed.
		return len(text)
	}
	return len(pack(text))
}

// text gives the record before it is packed. It holds nothing that has no JSON form.
func (r *record) text() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return text
}

// encode gives the record as it is kept.
func (r *record) encode() []byte { return pack(r.text()) }

func pack(text []byte) []byte {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	_, err := zip.Write(text)
	if err = errors.Join(err, zip.Close()); err != nil {
		panic(err) // A buffer takes all.
	}
	return out.Bytes()
}

// decode reads what encode gave.
func decode(in []byte) (record, error) {
	var r record
	zip, err := gzip.NewReader(bytes.NewReader(in))
	if err != nil {
		return record{}, err
	}
	text, err := io.ReadAll(io.LimitReader(zip, maxDecoded+1))
	if err != nil {
		return record{}, err
	}
	if len(text) > maxDecoded {
		return record{}, fmt.Errorf("it has more than %d bytes", maxDecoded)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, err
	}
	if r.Trail == nil || r.Trail.Time.IsZero() {
		return record{}, errors.New("it has no trail with a time")
	}
	return r, nil
}

// same reports whether two records say the same, whenever they say it.
func (r *record) same(other *record) bool {
	return other.Trail != nil && maps.Equal(r.Trail.Policies, other.Trail.Policies) && slices.Equal(r.Trail.Failed, other.Trail.Failed) &&
		slices.EqualFunc(r.Trail.Violations, other.Trail.Violations, func(a, b audit.Seen) bool {
			sameObject := a.Object == b.Object || a.Object != nil && b.Object != nil && *a.Object == *b.Object
			sameTime := a.FirstSeen.Equal(b.FirstSeen)
			a.Object, a.FirstSeen, a.LastSeen, b.Object, b.FirstSeen, b.LastSeen = nil, time.Time{}, time.Time{}, nil, time.Time{}, time.Time{}
			return sameObject && sameTime && a == b
		})
}

// store keeps the record in a ConfigMap.
type store struct {
	// reader reads from the API server itself, not from a cache.
	reader    client.Reader
	writer    client.Writer
	namespace string
	// interval is how often the record is written where nothing is new.
	interval time.Duration
	log      logr.Logger

	// held is the ConfigMap as it was last read or written, nil where there is none;
	// written is the record in it, and snapshot the state that it is of.
	held     *corev1.ConfigMap
	written  record
	snapshot *state.Snapshot
}

// read reads the record. One that cannot be used is none, and is told in the log: what
// is wrong now is then taken to have stood for long.
func (s *store) read(ctx context.Context) (record, error) {
	var found corev1.ConfigMap
	err := s.reader.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: ConfigMapName}, &found)
	switch {
	case apierrors.IsNotFound(err):
		s.held, s.written = nil, record{}
		return record{}, nil
	case err != nil:
		return record{}, err
	}
	s.held, s.written = &found, record{}
	if is := found.Data[formatKey]; is != format {
		err = fmt.Errorf("it has format %q, this bgpguard knows %q", is, format)
	} else {
		s.written, err = decode(found.BinaryData[recordKey])
	}
	if err != nil {
		s.log.Error(err, "Cannot use what the last audit found, starting anew", "namespace", s.namespace, "configMap", ConfigMapName)
	}
	return s.written, nil
}

// write writes a record where that is due. It returns another one, and writes none,
// where somebody else has written one meanwhile.
func (s *store) write(ctx context.Context, r *record, snapshot *state.Snapshot) (other *record, err error) {
	if !s.due(r, snapshot) {
		return nil, nil
	}
	err = s.put(ctx, r)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		before := s.written
		now, err := s.read(ctx)
		if err != nil {
			return nil, err
		}
		if now.Trail != nil && (before.Trail == nil || !now.Trail.Time.Equal(before.Trail.Time)) {
			return &now, nil
		}
		// Only its metadata was changed, or it was deleted.
		if err := s.put(ctx, r); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	s.written, s.snapshot = *r, snapshot
	return nil, nil
}

// due reports whether a record has to be written: at once where it says something new,
// and otherwise seldom.
func (s *store) due(r *record, snapshot *state.Snapshot) bool {
	if !r.same(&s.written) {
		return true
	}
	age := r.Trail.Time.Sub(s.written.Trail.Time)
	return age >= s.interval || age >= trailRefresh && snapshot != s.snapshot
}

// put writes a record over the one that is known.
func (s *store) put(ctx context.Context, r *record) error {
	next := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: s.namespace, Name: ConfigMapName, Labels: map[string]string{"app.kubernetes.io/name": "bgpguard", "app.kubernetes.io/part-of": "bgpguard"},
	}}
	if s.held != nil {
		next = s.held.DeepCopy()
	}
	next.Data, next.BinaryData = map[string]string{formatKey: format}, map[string][]byte{recordKey: r.encode()}
	var err error
	if s.held == nil {
		err = s.writer.Create(ctx, next)
	} else {
		err = s.writer.Update(ctx, next)
	}
	if err == nil {
		s.held = next
	}
	return err
}
