package process

import (
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Formats of the log.
const (
	LogJSON = "json"
	LogText = "text"
)

// LogFormats lists the formats of the log, LogLevels the minimum levels.
var (
	LogFormats = []string{LogJSON, LogText}
	LogLevels  = []string{"debug", "info", "error"}
)

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "error": slog.LevelError}

// NewLogger returns a logger that writes to w in one of LogFormats, from one of
// LogLevels up. It also becomes the global logger of controller-runtime and klog.
func NewLogger(w io.Writer, format, level string) logr.Logger {
	options := &slog.HandlerOptions{Level: levels[level]}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if format == LogText {
		handler = slog.NewTextHandler(w, options)
	}
	log := logr.FromSlogHandler(handler)
	ctrl.SetLogger(log)
	klog.SetSlogLogger(slog.New(handler))
	return log
}
