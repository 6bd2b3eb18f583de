package console

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// securityHeaders are on every answer. Nothing is loaded from elsewhere, nothing inline
// runs, no other page may frame or read this one.
var securityHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
}

// requestHeader is required for every request that changes something. Another site's
// page cannot send it without a CORS preflight request, which is refused.
const requestHeader = "Pulse-Request"

// guardRequests passes on the requests that are allowed, and refuses others.
func (s *Server) guardRequests(next http.Handler) http.Handler {
	foreign := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range securityHeaders {
			w.Header().Set(name, value)
		}
		w.Header().Set("Cache-Control", "no-store")
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !s.beginRequest() {
			sendProblem(w, http.StatusServiceUnavailable, "the node is ending")
			return
		}
		defer s.requests.Done()
		refuse := func(reason string) {
			if s.cfg.Refused != nil {
				s.cfg.Refused(r.RemoteAddr, reason)
			}
		}
		switch {
		case s.tokenFile == nil && !isHostAddress(r.Host):
			refuse("console_name")
			sendProblem(w, http.StatusForbidden, "name this host by its address")
		case foreign.Check(r) != nil || isCrossSite(r):
			refuse("console_foreign_page")
			sendProblem(w, http.StatusForbidden, "requests from other web pages are refused")
		case !reads && r.Header.Get(requestHeader) == "":
			sendProblem(w, http.StatusForbidden, "a request that does something needs the header "+requestHeader+", with any value")
		case s.tokenFile != nil && !isPublicPath(r.URL.Path) && !s.tokenFile.matchesToken(bearerToken(r)):
			refuse("console_token")
			w.Header().Set("WWW-Authenticate", `Bearer realm="pulse"`)
			sendProblem(w, http.StatusUnauthorized, "send the token of <pulse><http_token_file> as Authorization: Bearer TOKEN")
		default:
			if s.tokenFile != nil && s.hasValidToken(r) {
				markConnectionTrusted(r)
			}
			next.ServeHTTP(w, r)
		}
	})
}

// isPublicPath reports whether a path needs no token: the page itself, which contains
// no data, and the two health checks.
func isPublicPath(path string) bool {
	return path == "/" || path == "/favicon.ico" || path == "/healthz" || path == "/readyz" || strings.HasPrefix(path, "/assets/")
}

func bearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// hasValidToken reports whether a request has the token, where one is needed.
func (s *Server) hasValidToken(r *http.Request) bool {
	return s.tokenFile == nil || s.tokenFile.matchesToken(bearerToken(r))
}

// isHostAddress reports whether the Host header is an address or localhost. Another name
// may be that of a web page whose domain resolves to the loopback address: it could read the
// fleet through its visitor's browser (DNS rebinding).
func isHostAddress(host string) bool {
	if bare, _, err := net.SplitHostPort(host); err == nil {
		host = bare
	} else { // without a port
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}

// isCrossSite reports whether a browser marks the request as another site's, unless it
// follows a link to the dashboard.
func isCrossSite(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return (site == "cross-site" || site == "same-site") && r.URL.Path != "/"
}

// problem is an error as RFC 9457 has it. Its type is that of the HTTP status.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func sendProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Del("Content-Length")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{http.StatusText(status), status, detail})
}

func sendJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

// withProblemAnswers turns the mux's own refusals into problems.
func withProblemAnswers(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refused := headerRecorder{header: make(http.Header)}
		mux.ServeHTTP(&refused, r)
		if allow := refused.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			sendProblem(w, http.StatusMethodNotAllowed, "allowed here: "+allow)
			return
		}
		sendProblem(w, http.StatusNotFound, "nothing is here: /api/v1/openapi.json says what there is")
	})
}

// headerRecorder records the header of a response and discards the rest.
type headerRecorder struct{ header http.Header }

func (r *headerRecorder) Header() http.Header            { return r.header }
func (r *headerRecorder) Write(text []byte) (int, error) { return len(text), nil }
func (r *headerRecorder) WriteHeader(int)                {}
