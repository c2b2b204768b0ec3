package author

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// Watch calls run, and again each time that a file of the paths has changed, until
// the context ends. It looks every interval: a save is one change, and so is a
// switch of branches.
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

// fingerprint differs where a file of the paths has come, gone or changed.
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
		if err != nil { // It goes while it is read: the next look tells.
			fmt.Fprintln(&b, path, err)
		}
	}
	return b.String()
}
