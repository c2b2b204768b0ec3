package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/manifest"
)

// Every value of a label, an annotation or a spec is read back unchanged, and no name can
// end a comment.
func FuzzASnapshotIsReadBack(f *testing.F) {
	for _, text := range []string{"", "on", "0x10", "1e3", "~", "2026-08-01", "1:20", "<<", "=", "a\n---\nb\n", "\t\x00\u0085\u2028", "# a", "'\"", "- a: b", strings.Repeat("long ", 100)} {
		f.Add(text, text, int64(len(text)))
	}
	f.Fuzz(func(t *testing.T, key, value string, number int64) {
		value = strings.ToValidUTF8(value, "") // JSON is UTF-8.
		if len(validation.IsQualifiedName(key)) > 0 {
			key = "on" // An API server rejects such a key.
		}
		object := map[string]any{
			"apiVersion": "projectcalico.org/v3", "kind": "BGPPeer",
			"metadata": map[string]any{"name": "p", "annotations": map[string]any{key: value}},
			"spec":     map[string]any{"number": number, key: []any{value, map[string]any{key: value}}},
		}
		decoded, err := calico.Decode(object)
		if err != nil {
			return // The key is a field of the spec, and the value is invalid.
		}
		r := &cluster.Reading{
			Objects: []calico.Object{decoded},
			Unread:  []cluster.Unread{{Kind: calico.KindBGPPeer, Name: value, Err: errors.New(value)}},
		}
		text, err := snapshotText(value, time.Unix(0, 0), r)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := manifest.Parse("s.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if len(docs) != 1 || !reflect.DeepEqual(docs[0].Object, object) {
			t.Errorf("read back: %v\nwritten: %v\n%s", docs, object, text)
		}
	})
}

func TestASnapshotIsWrittenAtomically(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.yaml")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeAtomically(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("error %v, mode %v; want a file that only its owner can read", err, info.Mode())
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "new" {
		t.Errorf("error %v, %q; want the new text", err, text)
	}
	// A failed write leaves no temporary file.
	taken := filepath.Join(dir, "taken.yaml")
	if err := os.MkdirAll(filepath.Join(taken, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeAtomically(taken, []byte("new")); err == nil {
		t.Error("a directory was overwritten")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("error %v, %v; want the file and the directory", err, entries)
	}
	if err := writeAtomically(filepath.Join(dir, "nowhere", "s.yaml"), nil); err == nil || !strings.HasSuffix(err.Error(), ": no such file or directory") {
		t.Errorf("error %v, want one for the missing directory", err)
	}
}
