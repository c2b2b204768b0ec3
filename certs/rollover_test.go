package certs

import (
	"bytes"
	"crypto/x509"
	"math/rand/v2"
	"testing"
	"time"
)

func TestRollover(t *testing.T) {
	const second = time.Second
	oldCA, newerCA := newCA(t, epoch), newCA(t, epoch.Add(9*year))
	first, renewed := oldCA.pair(t, epoch), oldCA.pair(t, epoch.Add(year))
	other := newerCA.pair(t, epoch.Add(9*year))

	type step struct {
		at     time.Duration
		secret *keyPair
		// bundle is the caBundle of the only webhook in the configuration; absent: there is no configuration.
		bundle []byte
		absent bool
		// The expected result: what is served afterwards, and when to call consider again.
		serves *keyPair
		again  time.Duration
	}
	tests := map[string][]step{
		"the first certificate is served as soon as its CA is trusted": {
			{at: 0, secret: first, bundle: nil},
			{at: 1 * second, secret: first, bundle: bundle(oldCA), serves: first},
		},
		"the first certificate is served where there is no webhook configuration": {
			{at: 0, secret: first, absent: true, serves: first},
		},
		"a certificate of the CA that is in use is served at once": {
			{at: 0, secret: first, bundle: bundle(oldCA), serves: first},
			{at: 1 * second, secret: renewed, bundle: bundle(oldCA), serves: renewed},
		},
		"a certificate of a new CA is not served until API servers trust the CA": {
			{at: 0, secret: first, bundle: bundle(oldCA), serves: first},
			{at: 1 * second, secret: other, bundle: bundle(oldCA), serves: first},
			{at: 2 * second, secret: other, bundle: bundle(newerCA, oldCA), serves: first, again: 5 * second},
			{at: 4 * second, secret: other, bundle: bundle(newerCA, oldCA), serves: first, again: 3 * second},
			{at: 7 * second, secret: other, bundle: bundle(newerCA, oldCA), serves: other},
		},
		"the wait begins again after the new CA was removed": {
			{at: 0, secret: first, bundle: bundle(oldCA), serves: first},
			{at: 1 * second, secret: other, bundle: bundle(newerCA, oldCA), serves: first, again: 5 * second},
			{at: 2 * second, secret: other, bundle: bundle(oldCA), serves: first},
			{at: 7 * second, secret: other, bundle: bundle(newerCA, oldCA), serves: first, again: 5 * second},
		},
		"a certificate of a new CA is served at once where the old CA is no longer trusted": {
			{at: 0, secret: first, bundle: bundle(oldCA), serves: first},
			{at: 1 * second, secret: other, bundle: bundle(newerCA), serves: other},
		},
		"a bundle that trusts neither changes nothing": {
			{at: 0, secret: first, bundle: bundle(oldCA), serves: first},
			{at: 1 * second, secret: other, bundle: []byte("-----BEGIN"), serves: first},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			var r rollover
			for i, step := range steps {
				var trusted [][]*x509.Certificate
				if !step.absent {
					trusted = append(trusted, parseCertificates(step.bundle))
				}
				served, again := r.consider(step.secret, trusted, epoch.Add(step.at))
				if got := r.served.Load(); got != step.serves {
					t.Errorf("step %d: serves %p, want %p", i, got, step.serves)
				}
				if want := step.serves == step.secret; served != want {
					t.Errorf("step %d: says served is %t, want %t", i, served, want)
				}
				if again != step.again {
					t.Errorf("step %d: look again after %s, want %s", i, again, step.again)
				}
			}
		})
	}
}

// TestEveryAPIServerTrustsEveryReplica simulates rotations with two replicas and two API servers. Each of them sees the
// Secret and the webhook configuration with a different delay. An API server must never reject the certificate of a
// replica.
func TestEveryAPIServerTrustsEveryReplica(t *testing.T) {
	const (
		tick       = 500 * time.Millisecond
		ticks      = 400
		rotations  = 4
		interval   = 50 // ticks between rotations
		replicaLag = 16 // ticks: a replica may lag far behind,
		serverLag  = 9  // an API server at most by settleTime.
	)
	cas := make([]*authorityOf, rotations+1)
	pairs := make([]*keyPair, rotations+1)
	for i := range cas {
		cas[i] = newCA(t, epoch.Add(time.Duration(i)*time.Hour))
		pairs[i] = cas[i].pair(t, epoch.Add(time.Duration(i)*time.Hour))
	}
	type handshake struct {
		bundle string
		pair   *keyPair
	}
	known := map[handshake]bool{}
	accepts := func(bundle []byte, pair *keyPair) bool {
		key := handshake{string(bundle), pair}
		accepted, ok := known[key]
		if !ok {
			accepted = pair.trustedBy(parseCertificates(bundle)...)
			known[key] = accepted
		}
		return accepted
	}
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 0))
		// The contents of the Secret and the caBundle at each tick.
		secrets, bundles := []int{0}, [][]byte{cas[0].pem}
		seen := func(now, lag int) int { return max(0, now-random.IntN(lag+1)) }
		type replica struct {
			rollover
			secretSeen, bundleSeen int
		}
		replicas := []*replica{{}, {}}
		serverSeen := []int{0, 0}

		for now := 1; now < ticks; now++ {
			clock := epoch.Add(time.Duration(now) * tick)
			secret, injected := secrets[now-1], bundles[now-1]
			if now%interval == 0 {
				secret = min(now/interval, rotations)
			}
			for _, replica := range replicas {
				// Watches are delayed but never go back.
				replica.secretSeen = max(replica.secretSeen, seen(now-1, replicaLag))
				replica.bundleSeen = max(replica.bundleSeen, seen(now-1, replicaLag))
				// Sometimes the cert-controller of a replica injects the CA that the replica knows.
				if random.IntN(12) == 0 {
					injected = mergeBundles(cas[secrets[replica.secretSeen]].pem, injected, clock)
				}
				trusted := [][]*x509.Certificate{parseCertificates(bundles[replica.bundleSeen])}
				replica.consider(pairs[secrets[replica.secretSeen]], trusted, clock)
			}
			secrets, bundles = append(secrets, secret), append(bundles, injected)

			for server := range serverSeen {
				serverSeen[server] = max(serverSeen[server], now-serverLag, seen(now, serverLag))
				for i, replica := range replicas {
					if !accepts(bundles[serverSeen[server]], replica.served.Load()) {
						t.Fatalf("seed %d, tick %d: API server %d refuses what replica %d serves", seed, now, server, i)
					}
				}
			}
		}
		for i, replica := range replicas {
			if replica.served.Load() != pairs[rotations] {
				t.Errorf("seed %d: replica %d does not serve the last certificate in the end", seed, i)
			}
		}
		if want := bundle(cas[4], cas[3], cas[2]); !bytes.Equal(bundles[ticks-1], want) {
			t.Errorf("seed %d: the bundle does not hold the newest three CAs, newest first", seed)
		}
	}
}
