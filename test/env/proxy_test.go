package env

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// server answers with its name.
func server(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestProxy(t *testing.T) {
	a, b := server(t, "a"), server(t, "b")
	p, err := NewProxy(a)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	// ask returns the answers to two requests, each over a connection of its own.
	ask := func(client *http.Client) string {
		var answers []string
		for range 2 {
			response, err := client.Get("http://" + p.Address())
			if err != nil {
				return "error"
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil {
				return "error"
			}
			answers = append(answers, string(body))
		}
		return strings.Join(answers, " ")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	expect := func(what, got string, want ...string) {
		t.Helper()
		if !slices.Contains(want, got) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	expect("one target", ask(client), "a a")
	p.Use(a, b)
	expect("two targets", ask(client), "a b", "b a")
	p.Use(b)
	expect("another target", ask(client), "b b")
	p.Use()
	expect("no target", ask(client), "error")

	p.Use(a)
	kept, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	end := p.Cut()
	expect("a cut", ask(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 100 * time.Millisecond}), "error")
	if _, err := kept.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	end()
	buffer := make([]byte, 15)
	if _, err := io.ReadFull(kept, buffer); err != nil || string(buffer) != "HTTP/1.1 200 OK" {
		t.Errorf("after the cut a connection got %q, %v", buffer, err)
	}
	p.Reset()
	if _, err := io.ReadAll(kept); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	expect("after a reset", ask(client), "a a")
}
