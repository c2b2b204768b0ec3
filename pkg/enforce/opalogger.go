package enforce

import (
	"fmt"

	"github.com/go-logr/logr"
	"github.com/open-policy-agent/opa/v1/logging"
)

// opaLogger writes OPA's log to the log of the process. OPA's Info level, which
// includes each poll for a bundle, becomes Debug.
type opaLogger struct{ log logr.Logger }

// Debug implements logging.Logger.
func (l opaLogger) Debug(format string, a ...any) { l.log.V(1).Info(fmt.Sprintf(format, a...)) }

// Info implements logging.Logger.
func (l opaLogger) Info(format string, a ...any) { l.log.V(1).Info(fmt.Sprintf(format, a...)) }

// Warn implements logging.Logger.
func (l opaLogger) Warn(format string, a ...any) { l.log.Info(fmt.Sprintf(format, a...)) }

// Error implements logging.Logger.
func (l opaLogger) Error(format string, a ...any) { l.log.Error(nil, fmt.Sprintf(format, a...)) }

// WithFields implements logging.Logger.
func (l opaLogger) WithFields(fields map[string]any) logging.Logger {
	var list []any
	for k, v := range fields {
		list = append(list, k, v)
	}
	return opaLogger{l.log.WithValues(list...)}
}

// GetLevel implements logging.Logger. The level of the process decides.
func (opaLogger) GetLevel() logging.Level { return logging.Debug }

// SetLevel implements logging.Logger.
func (opaLogger) SetLevel(logging.Level) {}
