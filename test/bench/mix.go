package main

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bgpguard/bgpguard/test/env"
)

// measureMix measures the CPU time of a request in a mix as operators make it: as dry runs that are sent to the webhook, and as
// changes that the API server makes, of which the webhook also follows the watches and audits the states that they lead to.
func (b *bench) measureMix(ctx context.Context, nodes int, questions []question) error {
	byName := map[string]question{}
	for _, q := range questions {
		byName[q.name] = q
	}
	sequence := mixOf(byName[labelDry], byName[updateDry], byName[timerDenied])
	say("  %d nodes: a mix of requests", nodes)
	used, err := cpuOf(ctx, b.options, b.floor.Process, b.floor.allow, sequence)
	if err != nil {
		return err
	}
	b.results.add(mixOfFloor, cpuMilliseconds, nodes, used.Seconds()*1000)
	if used, err = cpuOf(ctx, b.options, b.webhook.Process, b.guard, sequence); err != nil {
		return err
	}
	b.results.add(mixDry, cpuMilliseconds, nodes, used.Seconds()*1000)
	if used, err = b.cpuOfChanges(ctx, nodes); err != nil {
		return err
	}
	b.results.add(mixReal, cpuMilliseconds, nodes, used.Seconds()*1000)
	return nil
}

// mixOf returns 20 parts: 80 % unread, 15 % allowed and 5 % denied.
func mixOf[T any](unread, allowed, denied T) []T {
	mix := make([]T, 20)
	for i := range mix {
		switch {
		case i == 19:
			mix[i] = denied
		case i%7 == 6 || i == 3:
			mix[i] = allowed
		default:
			mix[i] = unread
		}
	}
	return mix
}

// patch makes a change. number is another one each time.
type patch func(ctx context.Context, client rest.Interface, number int) error

// changesOf returns the changes of a mix in a cluster of some nodes.
func changesOf(nodes int) []patch {
	spec := func(field string) patch {
		return func(ctx context.Context, client rest.Interface, number int) error {
			path := "/apis/" + env.GroupV1.APIVersion() + "/bgppeers/" + rackPeer(number%racks)
			return send(ctx, client, path, fmt.Sprintf(`{"spec":{%s}}`, field))
		}
	}
	unread := func(ctx context.Context, client rest.Interface, number int) error {
		return send(ctx, client, "/api/v1/nodes/"+env.Node(number%nodes).Name, fmt.Sprintf(`{"metadata":{"labels":{"example.com/owner":"%d"}}}`, number))
	}
	allowed := func(ctx context.Context, client rest.Interface, number int) error {
		return spec(fmt.Sprintf(`"keepOriginalNextHop":%t`, number/len(mixOf(0, 0, 0))%2 == 0))(ctx, client, number)
	}
	denied := func(ctx context.Context, client rest.Interface, number int) error {
		err := spec(`"maxRestartTime":"300s"`)(ctx, client, number)
		if !apierrors.IsForbidden(err) {
			return fmt.Errorf("a timer that must be denied: %w", err)
		}
		return nil
	}
	return mixOf[patch](unread, allowed, denied)
}

func send(ctx context.Context, client rest.Interface, path, body string) error {
	return client.Patch(types.MergePatchType).AbsPath(path).Body([]byte(body)).Do(ctx).Error()
}

// operators is the group of the user who makes the changes of the mix. The API server asks the webhook about them.
const operators = "bench-operators"

// cpuOfChanges returns the CPU time that the webhook uses for a change, when one user makes the changes of a mix one after another.
func (b *bench) cpuOfChanges(ctx context.Context, nodes int) (time.Duration, error) {
	client, err := b.operator(ctx)
	if err != nil {
		return 0, err
	}
	changes := changesOf(nodes)
	var used []time.Duration
	made := 0
	for range b.repetitions + 1 {
		before, err := b.webhook.CPU()
		if err != nil {
			return 0, err
		}
		first := made
		for began := time.Now(); made < first+len(changes) || time.Since(began) < b.duration; made++ {
			if err := changes[made%len(changes)](ctx, client, made); err != nil {
				return 0, err
			}
		}
		after, err := b.webhook.CPU()
		if err != nil {
			return 0, err
		}
		used = append(used, (after-before)/time.Duration(made-first))
	}
	return median(used[1:]), nil // The first one is the warm-up.
}

// operator returns a client of a user who may do everything, and whose changes the API server sends to the webhook.
func (b *bench) operator(ctx context.Context) (rest.Interface, error) {
	if b.operatorKubeconfig == "" {
		path, err := b.UserKubeconfig("operator", operators)
		if err != nil {
			return nil, err
		}
		if err := kubectl(ctx, b.Environment, "create", "clusterrolebinding", operators, "--clusterrole=cluster-admin", "--group="+operators); err != nil {
			return nil, err
		}
		b.operatorKubeconfig = path
	}
	config, err := clientcmd.BuildConfigFromFlags("", b.operatorKubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return client.CoreV1().RESTClient(), nil
}
