package env

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// Proxy forwards TCP connections to addresses of this machine in turn, as a Service does. It can also lose all packets,
// as a network that is cut does. Its methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener

	mu          sync.Mutex
	targets     []string
	turn        int
	connections map[net.Conn]struct{}
	cut         chan struct{} // closed when the cut ends, nil without a cut
	closed      bool
}

// NewProxy returns a proxy on a free port that forwards to a target, HOST:PORT.
func NewProxy(target string) (*Proxy, error) { return newProxy(loopback(0), target) }

// Balancer returns a proxy on the port of the webhook configurations. It has no targets yet.
func (e *Environment) Balancer() (*Proxy, error) { return newProxy(loopback(e.WebhookPort)) }

func newProxy(address string, targets ...string) (*Proxy, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("start a proxy: %w", err)
	}
	p := &Proxy{listener: listener, targets: targets, connections: map[net.Conn]struct{}{}}
	go p.accept()
	return p, nil
}

// Address returns the HOST:PORT of the proxy.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Use makes the proxy forward new connections to other targets. Those that exist stay, as they do with a Service.
func (p *Proxy) Use(targets ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = targets
}

// Reset closes all connections.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for connection := range p.connections {
		connection.Close()
	}
}

// Cut makes the proxy forward nothing. Connections stay open on both sides. The returned function ends the cut: what was
// sent in the meantime arrives.
func (p *Proxy) Cut() (end func()) {
	cut := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	return sync.OnceFunc(func() {
		p.mu.Lock()
		p.cut = nil
		p.mu.Unlock()
		close(cut)
	})
}

// Close ends the proxy and all connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.listener.Close()
	p.Reset()
}

func (p *Proxy) accept() {
	for {
		connection, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && p.add(connection) {
			go p.serve(connection)
		}
	}
}

// add makes Reset close a connection. It returns false, and closes the connection, if the proxy is closed.
func (p *Proxy) add(connection net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		connection.Close()
		return false
	}
	p.connections[connection] = struct{}{}
	return true
}

// remove closes a connection.
func (p *Proxy) remove(connection net.Conn) {
	p.mu.Lock()
	delete(p.connections, connection)
	p.mu.Unlock()
	connection.Close()
}

// next returns the target of the next connection, "" without targets.
func (p *Proxy) next() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.targets) == 0 {
		return ""
	}
	p.turn++
	return p.targets[p.turn%len(p.targets)]
}

// pass returns when there is no cut.
func (p *Proxy) pass() {
	p.mu.Lock()
	cut := p.cut
	p.mu.Unlock()
	if cut != nil {
		<-cut
	}
}

// serve forwards a connection until either side closes it.
func (p *Proxy) serve(client net.Conn) {
	defer p.remove(client)
	p.pass()
	target := p.next()
	if target == "" {
		return
	}
	server, err := net.Dial("tcp", target)
	if err != nil || !p.add(server) {
		return
	}
	defer p.remove(server)
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			p.copy(way[0], way[1])
			ended <- struct{}{}
		}()
	}
	<-ended
}

// copy forwards bytes in one direction.
func (p *Proxy) copy(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.pass()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
