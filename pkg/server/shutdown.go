package server

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// shutdown delays the end of the process: API servers go on sending requests
// until they have learnt that the replica is no longer ready, and a manager
// stops listening at once.
type shutdown struct {
	log   logr.Logger
	delay time.Duration
	begun atomic.Bool
}

// Check is a healthz.Checker for readiness: it fails once a shutdown began.
func (s *shutdown) Check(*http.Request) error {
	if s.begun.Load() {
		return errors.New("shutting down")
	}
	return nil
}

// after returns a context that ends the delay after ctx does, or with stop.
func (s *shutdown) after(ctx context.Context) (delayed context.Context, stop context.CancelFunc) {
	delayed, stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		select {
		case <-delayed.Done():
			return
		case <-ctx.Done():
		}
		s.begun.Store(true)
		s.log.Info("Shutting down, requests are still answered", "delay", s.delay.String())
		select {
		case <-delayed.Done():
		case <-time.After(s.delay):
			stop()
		}
	}()
	return delayed, stop
}
