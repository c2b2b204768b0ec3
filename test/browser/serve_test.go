//go:build system

package browser

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

// served is the line of the log with the URL of the page.
var served = regexp.MustCompile(`url=(http://\S+/report)`)

// serveFiles runs `bgpguard serve` for the state of files and returns the URL of its page, and a function that ends it.
func serveFiles(t *testing.T, paths ...string) (url string, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	args := []string{"serve", "--bind-address=127.0.0.1:0"}
	for _, path := range paths {
		args = append(args, "-f", path)
	}
	cmd := exec.CommandContext(ctx, "../../bin/bgpguard", args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, ended := make(chan string, 1), make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if m := served.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
		_ = cmd.Wait() // It was ended.
	}()
	end = func() { cancel(); <-ended }
	t.Cleanup(end)
	select {
	case url = <-found:
	case <-ended:
		t.Fatalf("bgpguard serve ended:\n%s", &log)
	}
	return url, end
}

// await waits until a page says something. The page may be replaced meanwhile.
func (p *page) await(text string) {
	p.Helper()
	says := fmt.Sprintf(`document.readyState === "complete" && document.body.innerText.includes(%q)`, text)
	for {
		found, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](says))
		if err == nil && found {
			return
		}
		if p.ctx.Err() != nil {
			p.Fatalf("the page does not say %q: %v", text, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// comeBack makes a page ask for a newer report at once, as when a reader comes back to its tab.
func (p *page) comeBack() {
	p.Helper()
	ask[bool](p, `document.dispatchEvent(new Event("visibilitychange"))`)
}

// TestAServedPageFollowsItsFiles changes the files of a page that is open.
func TestAServedPageFollowsItsFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.yaml")
	save := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save(manifest(t, 5))
	url, end := serveFiles(t, file)
	p := visit(t, url, view{})
	p.failsToLoad = true // Answers with the status 503, and at last none, are meant.
	p.says("5 mesh nodes")

	// Nobody touched the page, so it is replaced.
	save(manifest(t, 6))
	p.comeBack()
	p.await("6 mesh nodes")

	// The reader uses the page, so a newer one is offered.
	p.do(chromedp.Click(chromedp.CSS("h1")))
	save(manifest(t, 7))
	p.comeBack()
	p.await("There is a newer report.")
	p.says("6 mesh nodes")
	p.everywhere("served with a newer report")
	p.look(view{})
	p.do(chromedp.Click(chromedp.CSS(".live button")))
	p.await("7 mesh nodes")

	save(manifest(t, 7) + "\n---\nkind: {")
	p.comeBack()
	p.await("Nothing was checked: no state could be read")
	p.says("state.yaml:")
	p.everywhere("served invalid files")
	p.look(view{})
	save(manifest(t, 8))
	p.comeBack()
	p.await("8 mesh nodes")

	end()
	p.comeBack()
	p.await("bgpguard has not answered since")
	p.says("8 mesh nodes")
}

// TestLogin logs in to the page of a cluster with tokens that its API server issued.
func TestLogin(t *testing.T) {
	e := env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV3}})
	if err := e.CreateNodes(t.Context(), env.Nodes(20)); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"config/crd", "test/e2e/testdata/serve"} {
		if _, err := e.ApplyKustomization(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
	}
	token := func(name string) string {
		t.Helper()
		accounts := e.Client.CoreV1().ServiceAccounts("default")
		if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		issued, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return issued.Status.Token
	}
	stranger, reader := token("stranger"), token("reader")
	if _, err := e.Client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "bgpguard-report-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "reader"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	report, err := e.StartServe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(report)
	if err != nil {
		t.Fatal(err)
	}

	p := visit(t, report, view{})
	p.failsToLoad = true // A form that is sent in vain has an error as status.
	p.origin = "https://" + address.Host + "/"
	p.await("Log in to bgpguard")
	p.everywhere("login")
	p.look(view{})
	logIn := func(token string) {
		p.Helper()
		p.do(chromedp.SetValue(chromedp.CSS("#token"), token), chromedp.Click(chromedp.CSS("button")))
	}
	logIn("nobody")
	p.await("The API server does not accept this token.")
	p.everywhere("login rejected")
	p.look(view{})
	logIn(stranger)
	p.await(`The user of this token may not "get" the URL /report.`)
	logIn(reader)
	p.await("BGP audit")
	p.do(chromedp.Navigate(p.origin + "login"))
	p.await("You are logged in")
	p.everywhere("login done")
	p.look(view{})
	p.do(chromedp.Click(chromedp.CSS("button")))
	p.await("You are logged out.")
	p.do(chromedp.Navigate(report))
	p.await("Log in to bgpguard")
}
