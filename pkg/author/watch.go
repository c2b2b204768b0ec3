package author

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// Watch calls run now and after each change of a file in paths, until the context ends.
// It compares the files once per interval, so switching branches is usually one change.
func Watch(ctx context.Context, paths []string, interval time.Duration, run func(ctx context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	seen := ""
	for {
		if now := fingerprint(paths); now != seen {
			seen = now
			run(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// fingerprint returns a text that changes if a file in paths is added, removed or changed.
func fingerprint(paths []string) string {
	var b strings.Builder
	for _, path := range paths {
		err := filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			switch filepath.Ext(path) {
			case ".rego", ".yaml", ".yml", ".json":
				info, err := d.Info()
				if err != nil {
					return err
				}
				fmt.Fprintln(&b, path, info.Size(), info.ModTime().UnixNano())
			}
			return nil
		})
		if err != nil { // The file was removed in the meantime. The next check detects it.
			fmt.Fprintln(&b, path, err)
		}
	}
	return b.String()
}
