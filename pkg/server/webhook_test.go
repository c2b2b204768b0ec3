package server

import (
	"crypto/tls"
	"slices"
	"testing"
	"time"
)

func TestConnectionsToTheWebhookEnd(t *testing.T) {
	const timeout = 3 * time.Second
	s := newWebhookServer("127.0.0.1", 9443, timeout, func(c *tls.Config) { c.NextProtos = []string{"h2"} })
	if h := s.http; h.ReadHeaderTimeout <= 0 || h.ReadTimeout <= timeout || h.WriteTimeout <= timeout || h.IdleTimeout <= 0 || h.MaxHeaderBytes <= 0 {
		t.Errorf("a connection has no limit: %+v", h)
	}
	if !slices.Equal(s.tls.NextProtos, []string{"http/1.1"}) || s.http.Protocols.HTTP2() || s.http.Protocols.UnencryptedHTTP2() {
		t.Errorf("it offers %q, %s", s.tls.NextProtos, s.http.Protocols)
	}
	if err := s.StartedChecker()(nil); err == nil {
		t.Error("it is ready before it listens")
	}
}
