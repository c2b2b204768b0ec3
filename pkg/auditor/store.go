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

// configMapName is the name of the ConfigMap in bgpguard's namespace that holds the record
// for the next leader.
const configMapName = "bgpguard-audit"

const (
	// recordKey is the ConfigMap's key of the record, formatKey that of its format.
	recordKey = "record.json.gz"
	formatKey = "format"
	// format is raised when an older bgpguard cannot read the record.
	format = "1"
	// maxRecord bounds an encoded record, in bytes: the API server accepts ConfigMaps of up
	// to 1 MiB.
	maxRecord = 900 << 10
	// maxDecoded bounds a decompressed record, in bytes. The largest one of the tests has
	// a third of it.
	maxDecoded = 32 << 20
	// trailRefresh is the time after which the record is written again if only the state is
	// new. The replicas remember states for pastLimit, which is twice as long.
	trailRefresh = pastLimit / 2
)

// record is the data that a leader passes on to the next one.
type record struct {
	// Trail is nil before the first audit.
	Trail *audit.Trail `json:"trail"`
	// Omitted counts the violations for which the trail has no space.
	Omitted int `json:"omitted,omitempty"`
	// Notices are the notices to send. Some notices of a written record may be sent
	// already.
	Notices []notice `json:"notices,omitempty"`
}

// fit drops the least severe violations until the record is short enough, and counts those
// of the given number that are not in it.
func (r *record) fit(violations int) {
	if more := len(r.Notices) - maxNotices; more > 0 {
		r.Notices = slices.Delete(r.Notices, 0, more)
	}
	t := r.Trail
	for size := r.size(); size > maxRecord && len(t.Violations) > 0; size = r.size() {
		// A little less than the share that fits, because it does not compress evenly.
		keep := len(t.Violations) * (maxRecord * 19 / 20) / size
		slices.SortStableFunc(t.Violations, func(a, b audit.Seen) int { return cmp.Compare(audit.Rank(a.Severity), audit.Rank(b.Severity)) })
		t.Violations = t.Violations[:keep:keep]
		slices.SortFunc(t.Violations, func(a, b audit.Seen) int { return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.ID, b.ID)) })
	}
	r.Omitted = max(0, violations-len(t.Violations))
}

// size is an upper bound of the encoded size in bytes.
func (r *record) size() int {
	text := r.text()
	if len(text) <= maxRecord { // True for almost all records, without compression.
		return len(text)
	}
	return len(pack(text))
}

// text is the record as JSON. All its types have a JSON form.
func (r *record) text() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return text
}

// encode returns the record in the form in which it is written.
func (r *record) encode() []byte { return pack(r.text()) }

func pack(text []byte) []byte {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	_, err := zip.Write(text)
	if err = errors.Join(err, zip.Close()); err != nil {
		panic(err) // Writes to a buffer do not fail.
	}
	return out.Bytes()
}

// decode reads the form that encode returns.
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

// same reports whether two records have the same trail, apart from the times of the last
// audit.
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
	// reader reads from the API server, not from a cache.
	reader    client.Reader
	writer    client.Writer
	namespace string
	// interval is the time between two writes of an unchanged record.
	interval time.Duration
	log      logr.Logger

	// object is the ConfigMap as it was last read or written, nil if it does not exist. written
	// is the record in it, and snapshot the state of its audit.
	object   *corev1.ConfigMap
	written  record
	snapshot *state.Snapshot
}

// read reads the record. A record that cannot be used is logged and ignored: the present
// violations then count as Standing.
func (s *store) read(ctx context.Context) (record, error) {
	var found corev1.ConfigMap
	err := s.reader.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: configMapName}, &found)
	switch {
	case apierrors.IsNotFound(err):
		s.object, s.written = nil, record{}
		return record{}, nil
	case err != nil:
		return record{}, err
	}
	s.object, s.written = &found, record{}
	if is := found.Data[formatKey]; is != format {
		err = fmt.Errorf("it has format %q, this bgpguard knows %q", is, format)
	} else {
		s.written, err = decode(found.BinaryData[recordKey])
	}
	if err != nil {
		s.log.Error(err, "Cannot use the record of the last audit, ignoring it", "namespace", s.namespace, "configMap", configMapName)
	}
	return s.written, nil
}

// write writes a record if that is due. If another replica has written one meanwhile, it
// returns that one and writes nothing.
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
		// Only its metadata changed, or it was deleted.
		if err := s.put(ctx, r); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	s.written, s.snapshot = *r, snapshot
	return nil, nil
}

// due reports whether a record must be written: at once if its trail is new, and
// otherwise seldom.
func (s *store) due(r *record, snapshot *state.Snapshot) bool {
	if !r.same(&s.written) {
		return true
	}
	age := r.Trail.Time.Sub(s.written.Trail.Time)
	return age >= s.interval || age >= trailRefresh && snapshot != s.snapshot
}

// put creates or updates the ConfigMap.
func (s *store) put(ctx context.Context, r *record) error {
	next := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: s.namespace, Name: configMapName, Labels: map[string]string{"app.kubernetes.io/name": "bgpguard", "app.kubernetes.io/part-of": "bgpguard"},
	}}
	if s.object != nil {
		next = s.object.DeepCopy()
	}
	next.Data, next.BinaryData = map[string]string{formatKey: format}, map[string][]byte{recordKey: r.encode()}
	var err error
	if s.object == nil {
		err = s.writer.Create(ctx, next)
	} else {
		err = s.writer.Update(ctx, next)
	}
	if err == nil {
		s.object = next
	}
	return err
}
