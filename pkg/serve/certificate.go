package serve

import (
	"crypto/tls"
	"net"
	"os"
	"sync"
	"time"

	"k8s.io/client-go/util/cert"
)

// renewBefore is the remaining validity at which a self-signed certificate is
// replaced. It is valid for a year.
const renewBefore = 90 * 24 * time.Hour

// selfSigned creates the certificate of a server whose clients do not verify it,
// such as those behind kubectl port-forward.
type selfSigned struct {
	now func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
}

// get implements tls.Config.GetCertificate. It creates a certificate at the first
// call and before the last one expires.
func (s *selfSigned) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.Leaf.NotAfter.Sub(s.now()) > renewBefore {
		return s.current, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey(name, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, []string{"localhost"})
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	s.current = &pair
	return s.current, nil
}
