package remote

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/natscontext"
)

// ContextSetting is the Setting of a [BadFile] of a NATS context.
const ContextSetting = "context"

// dialContext is [Dial] with a context of the nats command line. It reads the files at every call.
func dialContext(ctx context.Context, cfg *Config) (*Session, error) {
	c, err := natscontext.Read(cfg.Context)
	if err != nil {
		f := &Failure{Problem: BadFile, Setting: ContextSetting, what: err.Error(), cause: err}
		if parts := hint.Split(err); len(parts) == 1 {
			f.what, f.hint = parts[0].Problem, parts[0].Hint
		}
		return nil, f
	}
	if u := c.PlaintextServer(); u != nil && !cfg.AllowPlaintext {
		return nil, &Failure{Problem: BadFile, Setting: ContextSetting, what: fmt.Sprintf("the NATS context %s: its login would go to %s without encryption", c.Name, quoteBrief(u.Host)),
			hint: "write tls:// in the url of " + c.Path + ", or give it a ca; where the network itself is protected, --allow-plaintext"}
	}
	servers := c.Servers()
	a := &attempt{cfg: cfg, endpoint: endpoint{url: servers[0], secure: servers[0].Scheme == "tls" || servers[0].Scheme == "wss" || c.Settings.CA != "" || c.Settings.Cert != ""}, loginFiles: &loginFiles{identity: c.Login(), user: c.Settings.User}}
	cfg.CA, cfg.JetStreamDomain = c.Settings.CA, c.JetStreamDomain()
	if a.cert, err = c.ClientCertificate(); err != nil {
		return nil, &Failure{Problem: BadFile, Setting: ContextSetting, what: fmt.Sprintf("the NATS context %s: %v", c.Name, err), cause: err}
	}
	opts := a.commonOptions()
	if a.secure || !a.websocket() {
		opts = append(opts, func(o *nats.Options) error {
			o.TLSConfig = a.tlsConfig() // the library adds the context's authorities
			return nil
		})
	}
	s, err := a.openSession(ctx, nil, opts, c.Connect)
	switch {
	case err == nil:
		return s, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	f := a.diagnoseError(err)
	names := make([]string, len(servers))
	for i, u := range servers {
		names[i] = u.String()
	}
	f.Server, f.what = strings.Join(names, ","), strings.Replace(f.what, "none is given", "the NATS context "+c.Name+" has none", 1)
	if strings.Contains(f.hint, "<") { // it names settings
		f.hint = "correct the NATS context in " + c.Path + ", or the server"
	}
	return nil, f
}
