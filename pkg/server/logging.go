package server

import (
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	formatJSON = "json"
	formatText = "text"
)

var logFormats = []string{formatJSON, formatText}

var logLevels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "error": slog.LevelError}

// newLogger makes the one logger of the process and hands it to the libraries
// that keep a global one.
func newLogger(w io.Writer, o *Options) logr.Logger {
	options := &slog.HandlerOptions{Level: logLevels[o.LogLevel]}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if o.LogFormat == formatText {
		handler = slog.NewTextHandler(w, options)
	}
	log := logr.FromSlogHandler(handler)
	ctrl.SetLogger(log)
	klog.SetSlogLogger(slog.New(handler))
	return log
}
