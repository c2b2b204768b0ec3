package serve

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	_ "embed" // the page with the form
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// loginPath is the path of the form that takes a token.
	loginPath = "/login"
	// sessionCookie names the cookie. The prefix makes browsers require Secure, Path=/ and
	// no Domain.
	sessionCookie = "__Host-bgpguard"
	// sessionTime is how long a session lasts. The token of each request is reviewed, so a
	// token that expires or is revoked ends the session earlier.
	sessionTime = 8 * time.Hour
	// maxSessions bounds the sessions in memory; a login beyond it ends the oldest.
	maxSessions = 1000
	// maxToken bounds the form, in bytes. Tokens of ServiceAccounts have 1 to 2 KiB.
	maxToken = 16 << 10
	// Each login costs the API server a TokenReview: loginsPerSecond of all users together,
	// with bursts of loginBurst.
	loginsPerSecond = 1
	loginBurst      = 10
)

//go:embed login.html
var loginText string

var loginTemplate = template.Must(template.New("login").Parse(loginText))

// login lets browsers, which cannot send a Bearer token by themselves, open the page. It
// takes a token in a form and keeps it in memory. The browser gets a random session ID in a
// cookie. Every request is then authenticated and authorized with the token, as if the
// browser had sent it.
type login struct {
	// authorized passes requests with a valid token of a user who may get the page to next.
	authorized func(next http.Handler) http.Handler
	page       http.Handler // for a user who may get it
	limit      *rate.Limiter
	now        func() time.Time

	mu       sync.Mutex
	sessions map[string]session
}

// session is a token and its end.
type session struct {
	token string
	ends  time.Time
}

func newLogin(page http.Handler, authorized func(http.Handler) http.Handler) *login {
	return &login{
		authorized: authorized, page: page, limit: rate.NewLimiter(loginsPerSecond, loginBurst), now: time.Now, sessions: map[string]session{},
	}
}

// ServePage serves the page to requests with a Bearer token or a session. It redirects
// browsers without one to the form, and shows them the form if the token of the session is no
// longer valid.
func (l *login) ServePage(w http.ResponseWriter, r *http.Request) {
	browser := r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html")
	token := ""
	if r.Header.Get("Authorization") == "" {
		token = l.token(r)
	}
	if token == "" {
		if browser && r.Header.Get("Authorization") == "" {
			http.Redirect(w, r, loginPath, http.StatusSeeOther)
			return
		}
		l.authorized(l.page).ServeHTTP(w, r)
		return
	}
	switch l.review(r.Context(), token) {
	case http.StatusOK:
		l.page.ServeHTTP(w, r)
	case http.StatusUnauthorized:
		l.end(w, r)
		if browser {
			l.form(w, http.StatusUnauthorized, "Your token is no longer valid: log in again.", false)
			return
		}
		http.Error(w, "The token of the session is no longer valid.", http.StatusUnauthorized)
	default:
		l.authorized(l.page).ServeHTTP(w, withToken(r, token)) // It rejects the request.
	}
}

// ServeHTTP serves the form. POST with a token begins a session, POST with "out" ends it.
// The handler rejects cross-origin POSTs before it gets here.
func (l *login) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		l.form(w, http.StatusOK, "", l.token(r) != "")
	case http.MethodPost:
		l.post(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "Use GET or POST.", http.StatusMethodNotAllowed)
	}
}

func (l *login) post(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxToken)
	if err := r.ParseForm(); err != nil {
		l.form(w, http.StatusBadRequest, "The form is not valid or too large.", false)
		return
	}
	if r.PostForm.Has("out") {
		l.end(w, r)
		l.form(w, http.StatusOK, "You are logged out.", false)
		return
	}
	if !l.limit.AllowN(l.now(), 1) {
		w.Header().Set("Retry-After", "1")
		l.form(w, http.StatusTooManyRequests, "Too many logins: try again in a few seconds.", false)
		return
	}
	token := strings.TrimSpace(r.PostForm.Get("token"))
	switch status := l.review(r.Context(), token); {
	case token == "", status == http.StatusUnauthorized:
		l.form(w, http.StatusUnauthorized, "The API server does not accept this token.", false)
	case status == http.StatusForbidden:
		l.form(w, http.StatusForbidden, `The user of this token may not "get" the URL `+pagePath+".", false)
	case status != http.StatusOK:
		l.form(w, http.StatusBadGateway, "The API server could not review the token: try again.", false)
	default:
		http.SetCookie(w, &http.Cookie{
			Name: sessionCookie, Value: l.begin(token), Path: "/", MaxAge: int(sessionTime.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
		http.Redirect(w, r, pagePath, http.StatusSeeOther)
	}
}

// review returns the status of a request for the page with that token.
func (l *login) review(ctx context.Context, token string) int {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, pagePath, http.NoBody)
	if err != nil {
		return http.StatusInternalServerError
	}
	w := statusOnly{header: http.Header{}}
	l.authorized(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })).ServeHTTP(&w, withToken(r, token))
	return cmp.Or(w.status, http.StatusOK)
}

// withToken returns r as if it had been sent with a Bearer token.
func withToken(r *http.Request, token string) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// begin stores a token and returns the ID of its session.
func (l *login) begin(token string) string {
	id, now := rand.Text(), l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := ""
	for other, s := range l.sessions {
		switch {
		case !now.Before(s.ends):
			delete(l.sessions, other)
		case oldest == "" || s.ends.Before(l.sessions[oldest].ends):
			oldest = other
		}
	}
	if len(l.sessions) >= maxSessions {
		delete(l.sessions, oldest)
	}
	l.sessions[id] = session{token, now.Add(sessionTime)}
	return id
}

// token returns the token of the session of r, "" if it has none.
func (l *login) token(r *http.Request) string {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.sessions[cookie.Value]
	if !ok || !l.now().Before(s.ends) {
		delete(l.sessions, cookie.Value)
		return ""
	}
	return s.token
}

// end ends the session of r and removes the cookie.
func (l *login) end(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.sessions, cookie.Value)
	}
}

// form writes the page with the form.
func (l *login) form(w http.ResponseWriter, status int, message string, loggedIn bool) {
	var b bytes.Buffer
	data := struct {
		Message, Login, Page string
		LoggedIn             bool
	}{message, loginPath, pagePath, loggedIn}
	if err := loginTemplate.Execute(&b, data); err != nil {
		http.Error(w, "The form cannot be rendered.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // The reader can reload the page.
}

// statusOnly is a response of which only the status matters.
type statusOnly struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (s *statusOnly) Header() http.Header { return s.header }

// Write implements http.ResponseWriter. It drops the body.
func (s *statusOnly) Write(p []byte) (int, error) {
	s.status = cmp.Or(s.status, http.StatusOK)
	return len(p), nil
}

// WriteHeader implements http.ResponseWriter.
func (s *statusOnly) WriteHeader(status int) { s.status = cmp.Or(s.status, status) }
