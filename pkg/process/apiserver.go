package process

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/bgpguard/bgpguard/pkg/loop"
)

const (
	// askInterval is the time between two requests to an API server that is not ready, askTimeout
	// the limit of each.
	askInterval = time.Second
	askTimeout  = 5 * time.Second
	// maxSilence is the longest time between two log lines about an API server that is not ready.
	maxSilence = 5 * time.Minute
)

// AwaitAPIServer returns nil when the API server of config is ready and names its API groups to
// this process, or the error of ctx. Until
// then the process is alive and not ready, for a reason that /readyz/apiserver has and that is
// logged at growing intervals.
func AwaitAPIServer(ctx context.Context, config *rest.Config, probes *Probes, log logr.Logger) error {
	config = rest.CopyConfig(config)
	config.Timeout = askTimeout
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("creating a client of the API server: %w", err)
	}
	return await(ctx, func(ctx context.Context) error {
		if err := isReady(ctx, client.RESTClient()); err != nil {
			return err
		}
		return isPermitted(ctx, client)
	}, probes, log)
}

// await is AwaitAPIServer for any request.
func await(ctx context.Context, ready func(context.Context) error, probes *Probes, log logr.Logger) error {
	began, silence := time.Now(), askInterval
	var logged time.Time
	for {
		err := ready(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			if !logged.IsZero() {
				log.Info("The API server is ready", "waited", time.Since(began).Round(time.Second).String())
			}
			return nil
		}
		err = fmt.Errorf("not ready: waiting for the API server: %w", err)
		probes.NotReady("apiserver", err)
		if time.Since(logged) >= silence {
			log.Error(err, "Waiting for the API server", "waited", time.Since(began).Round(time.Second).String())
			if !logged.IsZero() {
				silence = min(2*silence, maxSilence)
			}
			logged = time.Now()
		}
		loop.Pause(ctx, askInterval)
	}
}

// isPermitted returns an error if this process may not read which API groups there are. An API
// server that has just started answers for a moment that nothing is permitted.
func isPermitted(ctx context.Context, client *discovery.DiscoveryClient) error {
	if _, err := client.ServerGroupsWithContext(ctx); err != nil {
		return fmt.Errorf("reading the API groups: %w", err)
	}
	return nil
}

// isReady returns an error with the reasons if the API server is not ready. An API server that
// answers that this process may not read /readyz is ready to answer.
func isReady(ctx context.Context, client rest.Interface) error {
	body, err := client.Get().AbsPath("/readyz").DoRaw(ctx)
	if err == nil || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil
	}
	// The body of an API server that is not ready lists all checks. Those that fail begin with [-].
	var failed []string
	for line := range strings.Lines(string(body)) {
		if check, ok := strings.CutPrefix(strings.TrimSpace(line), "[-]"); ok {
			failed = append(failed, check)
		}
	}
	if failed != nil {
		return errors.New(strings.Join(failed, ", "))
	}
	return err
}
