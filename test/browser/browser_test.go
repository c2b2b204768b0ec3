//go:build system

// Package browser opens the HTML reports in Chromium, as the people who get them do, and asks what they would notice:
// what the page says, what it does under their hands, whether a screen reader and a printer can use it.
package browser

import (
	"context"

	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Windows, in CSS pixels: the width of a desktop's, and of a telephone's.
const (
	desktop   = 1280
	telephone = 375
	height    = 900
)

// hung is when a page that does not answer is given up.
const hung = 2 * time.Minute

// chromium is the browser that all tests share, each with tabs of its own.
var chromium context.Context

// axe is axe-core, which is run in the pages.
var axe string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	source, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		fmt.Fprintln(os.Stderr, "axe-core is not installed; `make browser` installs it, or `npm ci` in test/browser:", err)
		return 1
	}
	axe = string(source)
	program, err := find()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := start(program)
	defer stop()
	if err := chromedp.Do(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s does not start: %v\n", program, err)
		return 1
	}
	chromium = ctx //nolint:fatcontext // One for all tests is meant.
	return m.Run()
}

// find returns the path of Chromium: what CHROMIUM says, or the first on PATH of the names that it goes by.
func find() (string, error) {
	if program := os.Getenv("CHROMIUM"); program != "" {
		return exec.LookPath(program)
	}
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	for _, name := range names {
		if program, err := exec.LookPath(name); err == nil {
			return program, nil
		}
	}
	return "", errors.New("there is no " + strings.Join(names, ", ") + " on PATH, and CHROMIUM is not set: apt-get install chromium")
}

// start makes the context of a browser that knows nothing of earlier ones, since chromedp gives it a folder of its own
// for its data, and that reaches nothing but this machine: no name resolves for it.
func start(program string) (ctx context.Context, stop func()) {
	ctx, end := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))...)
	ctx, closed := chromedp.NewContext(ctx)
	return ctx, func() { closed(); end() }
}

// view is how a page is looked at.
type view struct {
	width int
	dark  bool
	print bool
	// noScripts is a browser, or a viewer of attachments, that runs no scripts.
	noScripts bool
}

// page is a report in a tab.
type page struct {
	*testing.T
	ctx context.Context
	url string
	// failsToLoad is true if answers with an error as status are meant.
	failsToLoad bool

	mu sync.Mutex
	// complaints are what the browser says against the page.
	complaints []string
}

// open writes a report to a file and opens that. The test fails, at the latest when it ends, if the page asks for
// anything but itself, or if the browser complains of it.
func open(t *testing.T, report []byte, v view) *page {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, report, 0o600); err != nil {
		t.Fatal(err)
	}
	return visit(t, "file://"+file, v)
}

// visit opens a page like open.
func visit(t *testing.T, url string, v view) *page {
	t.Helper()
	p := &page{T: t, url: url}
	ctx, closed := chromedp.NewContext(chromium, chromedp.WithListener(p.listen))
	ctx, cancel := context.WithTimeout(ctx, hung)
	p.ctx = ctx
	t.Cleanup(func() {
		cancel()
		closed()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.complaints {
			if !p.failsToLoad || !strings.HasPrefix(c, "the browser reports: error Failed to load resource") {
				t.Error(c)
			}
		}
	})
	p.do(
		call(log.Enable, cdp.Empty{}), call(network.Enable, network.EnableParams{}),
		call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: v.noScripts}))
	p.look(v)
	p.do(chromedp.Navigate(p.url))
	return p
}

// look changes how the page is looked at.
func (p *page) look(v view) {
	p.Helper()
	if v.width == 0 {
		v.width = desktop
	}
	p.do(chromedp.EmulateViewport(int64(v.width), height), call(emulation.SetEmulatedMedia, v.media()))
}

// everywhere looks at the page in every way in which people do: it has to be accessible and to fit. Colours and layout
// are asked for where they differ, as axe-core takes its time.
func (p *page) everywhere(name string) {
	p.Helper()
	for _, w := range []struct {
		name, rules string
		view        view
	}{
		{"light", allRules, view{}},
		{"dark", `{runOnly: ["color-contrast"]}`, view{dark: true}},
		{"telephone", `{rules: {"color-contrast": {enabled: false}}}`, view{width: telephone}},
		{"print", "", view{print: true}},
	} {
		p.look(w.view)
		if w.rules != "" {
			p.accessible(name+" "+w.name, w.rules)
		}
		p.fits(name + " " + w.name)
		p.shot(name + " " + w.name)
	}
	p.pdf(name)
}

// allRules are axe-core's options for all of its rules.
const allRules = "{}"

// says fails for what is not to be read in the page.
func (p *page) says(texts ...string) {
	p.Helper()
	text := ask[string](p, `document.body.innerText`)
	for _, want := range texts {
		if !strings.Contains(text, want) {
			p.Errorf("the page does not say %q", want)
		}
	}
}

// call is a command of the browser's as an action.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

func (v view) media() emulation.SetEmulatedMediaParams {
	medium, scheme := "screen", "light"
	if v.print {
		medium = "print"
	}
	if v.dark {
		scheme = "dark"
	}
	return emulation.SetEmulatedMediaParams{Media: medium, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
}

// expects reports whether the page may ask for url: its own, and the form to log in to a served page.
func (p *page) expects(url string) bool {
	url, _, _ = strings.Cut(url, "#")
	return url == p.url || strings.HasPrefix(p.url, "https://") && url == strings.TrimSuffix(p.url, "report")+"login"
}

func (p *page) listen(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		// What has its data in its address asks nobody.
		if url := e.Request.URL; !p.expects(url) && !strings.HasPrefix(url, "data:") {
			p.complain("the page asks for %s", url)
		}
	case *runtime.EventConsoleAPICalled:
		p.complain("the page writes to the console: %s %s", e.Type, arguments(e.Args))
	case *runtime.EventExceptionThrown:
		p.complain("the page throws: %v", &chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails})
	case *log.EventEntryAdded:
		p.complain("the browser reports: %s %s", e.Entry.Level, e.Entry.Text)
	}
}

func arguments(args []*runtime.RemoteObject) string {
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = string(a.Value)
	}
	return strings.Join(texts, " ")
}

func (p *page) complain(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.complaints = append(p.complaints, fmt.Sprintf(format, args...))
}

// do runs actions one after the other.
func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// get runs an action that has a result.
func get[T any](p *page, action chromedp.Action[T]) T {
	p.Helper()
	v, err := chromedp.Run(p.ctx, action)
	if err != nil {
		p.Fatal(err)
	}
	return v
}

// ask evaluates an expression of JavaScript in a page.
func ask[T any](p *page, expression string) T {
	p.Helper()
	return get(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// fault is what axe-core finds wrong.
type fault struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// accessible fails for what axe-core calls serious or critical.
func (p *page) accessible(name, options string) {
	p.Helper()
	if !ask[bool](p, `"axe" in window`) {
		p.do(chromedp.Evaluate[chromedp.Void](axe))
	}
	found := ask[struct {
		Faults []fault `json:"violations"`
		Passes int     `json:"passes"`
	}](p, `axe.run(document, {resultTypes: ["violations"], ...`+options+`}).then(r => ({violations: r.violations, passes: r.passes.length}))`)
	if found.Passes == 0 {
		p.Error("axe-core checked nothing")
	}
	for _, f := range found.Faults {
		if f.Impact == "serious" || f.Impact == "critical" {
			p.Errorf("%s: axe-core: %s: %s (%s) at %d places, the first %s\n%s", name, f.Impact, f.ID, f.Help, len(f.Nodes), f.Nodes[0].HTML, f.Nodes[0].Summary)
		}
	}
}

// fits fails where one has to scroll sideways to see all of the page.
func (p *page) fits(name string) {
	p.Helper()
	if over := ask[int](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		p.Errorf("%s: the page is %d pixels wider than the window; the first element that stands out: %s", name, over, ask[string](p, `
			(Array.from(document.body.querySelectorAll("*")).find(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1) || document.body).outerHTML.slice(0, 200)`))
	}
}

// shot writes a picture of the whole page into the folder that SHOTS names, for people to look at.
func (p *page) shot(name string) {
	p.Helper()
	if folder := os.Getenv("SHOTS"); folder != "" {
		keep(p, folder, name+".png", get(p, chromedp.FullScreenshot(100)))
	}
}

// pdf prints the page, and keeps the print beside the pictures.
func (p *page) pdf(name string) {
	p.Helper()
	p.look(view{print: true})
	if folder := os.Getenv("SHOTS"); folder != "" {
		keep(p, folder, name+".pdf", get(p, chromedp.PrintToPDF()))
	}
}

func keep(p *page, folder, name string, data []byte) {
	p.Helper()
	if err := os.WriteFile(filepath.Join(folder, strings.ReplaceAll(name, " ", "-")), data, 0o600); err != nil {
		p.Fatal(err)
	}
}
