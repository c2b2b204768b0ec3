package certs

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestParseSecret(t *testing.T) {
	ca := newCA(t, epoch)
	tests := map[string]struct {
		change func(*corev1.Secret)
		want   string
	}{
		"a Secret as cert-controller writes it is valid": {
			change: func(*corev1.Secret) {},
		},
		"a Secret without data waits for its first certificate": {
			change: func(s *corev1.Secret) { s.Data = nil },
			want:   "it holds no certificate yet",
		},
		"a Secret with empty values waits as well": {
			change: func(s *corev1.Secret) { s.Data[certName], s.Data[keyName] = nil, nil },
			want:   "it holds no certificate yet",
		},
		"text that isn't PEM is rejected": {
			change: func(s *corev1.Secret) { s.Data[certName] = []byte("no certificate") },
			want:   "tls.crt and tls.key: tls: failed to find any PEM data in certificate input",
		},
		"the key of another certificate is rejected": {
			change: func(s *corev1.Secret) { _, s.Data[keyName] = ca.issue(t, epoch) },
			want:   "tls.crt and tls.key: tls: private key does not match public key",
		},
		"a Secret without a CA is rejected": {
			change: func(s *corev1.Secret) { delete(s.Data, caName) },
			want:   "ca.crt: no certificate found",
		},
		"the CA of another certificate is rejected": {
			change: func(s *corev1.Secret) { s.Data[caName] = newCA(t, epoch).pem },
			want:   "tls.crt was not signed by ca.crt",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			secret := ca.secret(t, epoch)
			test.change(secret)
			_, err := parseSecret(secret)
			var got string
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got error %q, want %q", got, test.want)
			}
		})
	}
}
