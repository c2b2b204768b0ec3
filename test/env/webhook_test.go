//go:build system

package env

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// standIn is a variable of the environment. If it is set, the program of this test acts as a
// webhook, with the behavior in the value.
const standIn = "BGPGUARD_TEST_STAND_IN"

func TestMain(m *testing.M) {
	if behaviour := os.Getenv(standIn); behaviour != "" {
		os.Exit(actAsWebhook(behaviour))
	}
	os.Exit(m.Run())
}

// actAsWebhook prints its arguments. If behaviour is "broken", it then returns 3. Otherwise it answers the readiness
// probe until a signal ends the process.
func actAsWebhook(behaviour string) int {
	fmt.Println(strings.Join(os.Args[1:], "\n"))
	if behaviour == "broken" {
		return 3
	}
	flags := flag.NewFlagSet("webhook", flag.ContinueOnError)
	probe := flags.String("health-probe-bind-address", "", "")
	for _, other := range []string{
		"kubeconfig", "namespace", "host", "port", "metrics-bind-address", "cert-extra-dns-names", "shutdown-delay", "policies",
	} {
		flags.String(other, "", "")
	}
	if err := flags.Parse(os.Args[1:]); err != nil {
		return 2
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	go http.ListenAndServe(*probe, nil) //nolint:errcheck // A failure shows as never ready.
	<-stop
	return 0
}

func TestWebhookProcess(t *testing.T) {
	e := StartForTest(t, Options{Groups: []Group{GroupV1}})
	if _, err := e.ApplyKustomization(t.Context(), "test/env/testdata/kustomization"); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	options := WebhookOptions{Binary: program, Policies: []string{"a", "b"}}

	t.Run("a webhook that becomes ready runs until it is stopped", func(t *testing.T) {
		t.Setenv(standIn, "ready")
		webhook, err := e.StartWebhook(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		for _, argument := range []string{
			"--kubeconfig=" + e.Dir + "/serviceaccount-bgpguard-system-bgpguard.kubeconfig\n",
			fmt.Sprintf("--port=%d\n", e.WebhookPort),
			"--policies=a\n--policies=b\n",
		} {
			if !strings.Contains(webhook.Log(), argument) {
				t.Errorf("%q is not among the arguments:\n%s", argument, webhook.Log())
			}
		}
		for range 2 {
			if err := webhook.Stop(); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.Kill(webhook.Pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is still there (%v)", webhook.Pid, err)
		}
	})

	t.Run("a webhook that ends at once is an error with its log", func(t *testing.T) {
		t.Setenv(standIn, "broken")
		_, err := e.StartWebhook(t.Context(), options)
		const want = "the webhook ended before it was ready (exit status 3); the end of its log:\n--kubeconfig="
		if !strings.HasPrefix(text(err), want) {
			t.Errorf("\n got: %v\nwant: %s...", err, want)
		}
	})

	t.Run("the configuration calls this machine", func(t *testing.T) {
		got := kubectl(t, e.Admin, "", "get", "validatingwebhookconfiguration", "bgpguard",
			"-o", "jsonpath={.webhooks[*].clientConfig}")
		expect(t, got, Result{Stdout: fmt.Sprintf(
			`{"caBundle":"bm90IGEgY2VydGlmaWNhdGU=","url":"https://localhost:%d/validate"}`, e.WebhookPort)})
	})
}
