package serve

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// loginOf returns a login that accepts the token "reader", and a handler as the listener has.
func loginOf(t *testing.T) (*login, http.Handler, *time.Time) {
	t.Helper()
	authorized := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.Header.Get("Authorization") {
			case "Bearer reader":
				next.ServeHTTP(w, r)
			case "Bearer stranger":
				http.Error(w, "forbidden", http.StatusForbidden)
			case "Bearer late":
				http.Error(w, "failed", http.StatusInternalServerError)
			default:
				http.Error(w, "unauthorized", http.StatusUnauthorized)
			}
		})
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the report")) })
	l := newLogin(page, authorized)
	now := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	l.now = func() time.Time { return now }
	return l, secureMux(l), &now
}

func send(t *testing.T, h http.Handler, method, path string, form url.Values, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "https://guard.example"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestABrowserLogsIn(t *testing.T) {
	_, h, now := loginOf(t)
	if w := send(t, h, http.MethodGet, pagePath, nil, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != loginPath {
		t.Fatalf("without a session: %d to %q", w.Code, w.Header().Get("Location"))
	}
	w := send(t, h, http.MethodPost, loginPath, url.Values{"token": {" reader\n"}}, nil)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != pagePath || len(cookies) != 1 {
		t.Fatalf("login: %d to %q with %v", w.Code, w.Header().Get("Location"), cookies)
	}
	c := cookies[0]
	if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || strings.Contains(c.Value, "reader") || len(c.Value) < 20 {
		t.Errorf("the cookie is %v", c)
	}
	with := func(r *http.Request) { r.AddCookie(c) }
	if w := send(t, h, http.MethodGet, pagePath, nil, with); w.Code != http.StatusOK || w.Body.String() != "the report" {
		t.Errorf("with a session: %d %q", w.Code, w.Body)
	}
	if w := send(t, h, http.MethodGet, loginPath, nil, with); !strings.Contains(w.Body.String(), "Log out") {
		t.Errorf("the form of a session is %s", w.Body)
	}
	*now = now.Add(sessionTime)
	if w := send(t, h, http.MethodGet, pagePath, nil, with); w.Code != http.StatusSeeOther {
		t.Errorf("after the session: %d", w.Code)
	}
}

func TestATokenThatIsNoLongerValidEndsTheSession(t *testing.T) {
	l, h, _ := loginOf(t)
	for name, accept := range map[string]string{"browser": "text/html,*/*", "script of the page": "*/*"} {
		id := l.begin("revoked")
		with := func(r *http.Request) {
			r.Header.Set("Accept", accept)
			r.AddCookie(&http.Cookie{Name: sessionCookie, Value: id})
		}
		w := send(t, h, http.MethodGet, pagePath, nil, with)
		if w.Code != http.StatusUnauthorized || w.Result().Cookies()[0].MaxAge >= 0 || l.sessions[id].token != "" {
			t.Errorf("%s: %d, sessions %v", name, w.Code, l.sessions)
		}
		form := strings.Contains(w.Body.String(), "log in again") && strings.Contains(w.Body.String(), `action="/login"`)
		if form != (name == "browser") {
			t.Errorf("%s: the answer is %s", name, w.Body)
		}
	}
	// The user of the token has lost the permission.
	id := l.begin("stranger")
	w := send(t, h, http.MethodGet, pagePath, nil, func(r *http.Request) { r.AddCookie(&http.Cookie{Name: sessionCookie, Value: id}) })
	if w.Code != http.StatusForbidden {
		t.Errorf("without the permission: %d", w.Code)
	}
}

func TestALogoutEndsTheSession(t *testing.T) {
	_, h, _ := loginOf(t)
	c := send(t, h, http.MethodPost, loginPath, url.Values{"token": {"reader"}}, nil).Result().Cookies()[0]
	with := func(r *http.Request) { r.AddCookie(c) }
	if w := send(t, h, http.MethodPost, loginPath, url.Values{"out": {"true"}}, with); w.Code != http.StatusOK || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("logout: %d %v", w.Code, w.Result().Cookies())
	}
	if w := send(t, h, http.MethodGet, pagePath, nil, with); w.Code != http.StatusSeeOther {
		t.Errorf("after the logout: %d", w.Code)
	}
}

func TestOtherTokensAreRejected(t *testing.T) {
	for token, want := range map[string]int{
		"": http.StatusUnauthorized, "unknown": http.StatusUnauthorized, "stranger": http.StatusForbidden, "late": http.StatusBadGateway,
		strings.Repeat("x", maxToken): http.StatusBadRequest,
	} {
		_, h, _ := loginOf(t)
		w := send(t, h, http.MethodPost, loginPath, url.Values{"token": {token}}, nil)
		if w.Code != want || len(w.Result().Cookies()) > 0 || !strings.Contains(w.Body.String(), `class="message"`) {
			t.Errorf("%.10q: got %d %v, want %d", token, w.Code, w.Result().Cookies(), want)
		}
	}
}

func TestAnotherSiteCannotLogIn(t *testing.T) {
	_, h, _ := loginOf(t)
	for name, change := range map[string]func(*http.Request){
		"by fetch metadata": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"by origin":         func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") },
	} {
		if w := send(t, h, http.MethodPost, loginPath, url.Values{"token": {"reader"}}, change); w.Code != http.StatusForbidden || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

func TestLoginsAreLimited(t *testing.T) {
	_, h, now := loginOf(t)
	for range loginBurst {
		send(t, h, http.MethodPost, loginPath, url.Values{"token": {"unknown"}}, nil)
	}
	if w := send(t, h, http.MethodPost, loginPath, url.Values{"token": {"reader"}}, nil); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Errorf("got %d", w.Code)
	}
	*now = now.Add(time.Second)
	if w := send(t, h, http.MethodPost, loginPath, url.Values{"token": {"reader"}}, nil); w.Code != http.StatusSeeOther {
		t.Errorf("a second later: %d", w.Code)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	l, _, now := loginOf(t)
	first := l.begin("0")
	for i := range maxSessions {
		*now = now.Add(time.Second)
		l.begin(strconv.Itoa(i + 1))
	}
	if _, ok := l.sessions[first]; ok || len(l.sessions) != maxSessions {
		t.Errorf("%d sessions, the oldest: %v", len(l.sessions), ok)
	}
}

func TestProgramsSendTheirToken(t *testing.T) {
	_, h, _ := loginOf(t)
	for token, want := range map[string]int{"Bearer reader": http.StatusOK, "Bearer stranger": http.StatusForbidden, "": http.StatusUnauthorized} {
		w := send(t, h, http.MethodGet, pagePath, nil, func(r *http.Request) {
			r.Header.Set("Accept", "*/*")
			if token != "" {
				r.Header.Set("Authorization", token)
			}
		})
		if w.Code != want {
			t.Errorf("%q: got %d, want %d", token, w.Code, want)
		}
	}
}
