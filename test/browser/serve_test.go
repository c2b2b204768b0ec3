//go:build system

package browser

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// served is the line of the log with the URL of the page.
var served = regexp.MustCompile(`url=(https?://\S+/report)`)

// serve runs `bgpguard serve` and returns the URL of its page, and a function that ends it.
func serve(t *testing.T, args ...string) (url string, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "../../bin/bgpguard", append([]string{"serve", "--bind-address=127.0.0.1:0"}, args...)...)
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

// unanswered is when a page that may be replaced is asked again.
const unanswered = 5 * time.Second

// await waits until a page says something. The page may be replaced meanwhile.
func (p *page) await(text string) {
	p.Helper()
	says := ""
	for !strings.Contains(says, text) {
		time.Sleep(20 * time.Millisecond)
		// A question to a page that is being replaced may have no answer.
		ctx, cancel := context.WithTimeout(p.ctx, unanswered)
		found, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState === "complete" ? document.body.innerText : ""`))
		cancel()
		if err == nil {
			says = found
		}
		if p.ctx.Err() != nil {
			p.Fatalf("the page does not say %q but %.500q: %v", text, says, err)
		}
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
	url, end := serve(t, "-f", file)
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
