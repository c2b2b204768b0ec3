package server

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/loop"
)

// shutdown delays the end of the process. API servers send requests until they
// have learned that the replica is not ready, and a manager closes its listeners
// at once.
type shutdown struct {
	log   logr.Logger
	delay time.Duration
	begun atomic.Bool
}

// Check is a healthz.Checker for readiness: it fails once a shutdown has begun.
func (s *shutdown) Check(*http.Request) error {
	if s.begun.Load() {
		return errors.New("shutting down")
	}
	return nil
}

// handler makes clients close their connections once a shutdown has begun. An API server then
// sends its next request to another replica. Without that, the request could arrive while the
// server closes the connection.
func (s *shutdown) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.begun.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// after returns a context that is done the delay after ctx is, or when stop is
// called.
func (s *shutdown) after(ctx context.Context) (delayed context.Context, stop context.CancelFunc) {
	delayed, stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		select {
		case <-delayed.Done():
			return
		case <-ctx.Done():
		}
		s.begun.Store(true)
		s.log.Info("Shutting down, still answering requests", "delay", s.delay.String())
		loop.Pause(delayed, s.delay)
		stop()
	}()
	return delayed, stop
}
