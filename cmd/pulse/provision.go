package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/provision"
)

type provisionCommand struct {
	Dir       string   `arg:"" type:"path" help:"The directory of the setup."`
	Operator  string   `placeholder:"NAME" help:"Make a new setup, of this operator: whoever runs the NATS server."`
	Node      []string `sep:"none" placeholder:"NAME" help:"A manager node, by its <node_name>; one --node for each. On an existing setup: add it."`
	Reader    []string `sep:"none" placeholder:"NAME" help:"A reader, such as the XDR platform; one --reader for each. On an existing setup: add it. Default for a new one: xdr."`
	Host      []string `sep:"none" placeholder:"HOST" help:"A name or address of the NATS server, for its certificate; one --host for each. On an existing setup: make a new certificate. Default for a new one: this host's name."`
	Port      int      `default:"4222" help:"Where the NATS server listens. Default: ${default}."`
	Prefix    string   `default:"wazuh.xdr" help:"The nodes' <subject_prefix>. Default: ${default}."`
	Replicas  int      `default:"1" help:"Of each stream: 1, or 3 or 5 with a cluster. Default: ${default}."`
	ServerDir string   `placeholder:"PATH" help:"Where the files of DIR/server will be on the server's host, such as /etc/nats. Default: where they are now."`
	StoreDir  string   `placeholder:"PATH" help:"Where the server keeps its streams, such as /var/lib/nats. Default: --server-dir."`
	MutualTLS bool     `name:"mutual-tls" help:"Clients need certificates, too, and get them."`
	TLSCert   string   `name:"tls-cert" type:"path" placeholder:"FILE" help:"The server's certificate, if you have one. Default: one signed by an authority of the setup's own."`
	TLSKey    string   `name:"tls-key" type:"path" placeholder:"FILE" help:"The key of that certificate."`
	TLSCA     string   `name:"tls-ca" type:"path" placeholder:"FILE" help:"The authority that signed it, for clients to trust. Default: the systems' own authorities."`
	Cluster   string   `placeholder:"NAME" help:"The nodes are those of this cluster: they share a bucket that says which of them has an agent. On an existing setup: its nodes need --renew, too."`
	OCSF      string   `name:"ocsf" placeholder:"SUBJECT" help:"The nodes' <ocsf_subject>: status changes and alerts are published there as OCSF events, too. On an existing setup: nodes and readers need --renew, too."`
	Leaf      []string `sep:"none" placeholder:"NAME" help:"A leaf node, a NATS server on the host of nodes that is connected to this one; one --leaf for each. On an existing setup: add it; nodes there need --renew, too."`
	Hub       string   `placeholder:"NAME" help:"No NATS server of its own: the Pulse of this node, of a cluster, runs it for all. Only with --operator."`
	Force     bool     `help:"Make a new setup where there is one, which is moved aside."`
	Renew     []string `sep:"none" placeholder:"NAME" help:"Give this node or reader new credentials, and revoke the old ones."`
	Revoke    []string `sep:"none" placeholder:"NAME" help:"Let this node or reader no longer log in."`
	Apply     bool     `help:"Make the streams, buckets and consumers on the running server."`
	Server    string   `placeholder:"URL" help:"With --apply: the server. Default: the setup's own hosts."`
	JSON      bool     `help:"Print one JSON object: what was written and made."`
	Context   string   `complete:"contexts" placeholder:"NAME" help:"With --apply: the server, the login and the domain of this context of the nats command line, in the place of the setup's administrator."`
}

func (*provisionCommand) Help() string {
	return `Writes all that a stock NATS server needs for Pulse's messages: operator and accounts, a user for each node that may publish
its own subjects and nothing else, users who may only read, certificates, the server's configuration, and the configuration
of the streams. docs/nats.md describes every step up to the first message.

    pulse provision nats --operator Example --node node01 --node node02 --host nats-1.example
    nats-server -c nats/server/nats-server.conf
    pulse provision nats --apply

It never overwrites. An existing setup is changed without --operator:

    pulse provision nats --node node03
    pulse provision nats --revoke node02
    pulse provision nats --renew node01
    pulse provision nats --cluster main --renew node01
    pulse provision nats --leaf branch --renew node01

Whoever has DIR/private can make credentials: keep it safe, and off the server.`
}

func (c *provisionCommand) Run(e *env) error {
	if err := c.validateFlags(); err != nil {
		return usageError{err}
	}
	if c.Operator != "" {
		return c.makeNewSetup(e)
	}
	st, err := provision.Open(c.Dir)
	if err != nil {
		return err
	}
	defer st.Close()
	var result provisionResult
	change := provision.Change{Nodes: c.Node, Readers: c.Reader, Leaves: c.Leaf, Renew: c.Renew, Revoke: c.Revoke, Hosts: c.Host, Cluster: c.Cluster, OCSF: c.OCSF, TLS: c.tlsFiles()}
	if c.hasChanges() {
		done, err := st.Change(change)
		if err != nil {
			return err
		}
		result.addWritten(c.Dir, done)
		if !c.JSON {
			c.printWritten(e, done)
			c.printNextSteps(e)
		}
	}
	if c.Apply {
		if result.Made, err = c.applySetup(e, st); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(e.stdout, &result)
	}
	return nil
}

// provisionResult is what was written and made, in JSON.
type provisionResult struct {
	Written []string     `json:"written,omitempty"` // files
	Aside   string       `json:"aside,omitempty"`   // where the old setup is now
	Made    []madeOnNATS `json:"made,omitempty"`    // on the running server
}

func (r *provisionResult) addWritten(dir string, done *provision.Result) {
	for _, path := range done.Written {
		r.Written = append(r.Written, filepath.Join(dir, path))
	}
	r.Aside = done.Aside
}

// madeOnNATS is a stream, bucket or consumer.
type madeOnNATS struct {
	What    string `json:"what"`
	New     bool   `json:"new"`               // it did not exist
	Changed string `json:"changed,omitempty"` // how, if it existed
	Problem string `json:"problem,omitempty"`
}

// applySetup makes streams, buckets and consumers on the running server, and prints them if it is not for JSON.
func (c *provisionCommand) applySetup(e *env, st *provision.Setup) (all []madeOnNATS, err error) {
	apply, where := st.Apply, c.Server
	if c.Context != "" {
		apply, where = st.ApplyIn, c.Context
	}
	made, err := apply(e.ctx, where)
	for _, m := range made {
		if all = append(all, madeOnNATS(m)); c.JSON {
			continue
		}
		state := "existed"
		switch {
		case m.New:
			state = "made"
		case m.Changed != "":
			state = "existed, and " + m.Changed
		}
		if m.Problem != "" {
			state += ", but " + m.Problem
		}
		fmt.Fprintf(e.stdout, "%-32s %s\n", m.What, state)
	}
	if err != nil && c.Context == "" {
		return nil, &flagError{err, []serverFlag{{name: "--server", setting: "server_url"}}}
	}
	return all, (&serverFlags{Context: c.Context}).nameFlags(err)
}

func (c *provisionCommand) hasChanges() bool {
	return len(c.Node)+len(c.Reader)+len(c.Leaf)+len(c.Renew)+len(c.Revoke)+len(c.Host) > 0 || c.Cluster != "" || c.OCSF != "" || c.TLSCert != ""
}

func (c *provisionCommand) tlsFiles() *provision.TLSFiles {
	if c.TLSCert == "" {
		return nil
	}
	return &provision.TLSFiles{Cert: c.TLSCert, Key: c.TLSKey, CA: c.TLSCA}
}

func (c *provisionCommand) validateFlags() error {
	defaults := provisionCommand{Port: provision.DefaultPort, Prefix: event.DefaultPrefix, Replicas: 1}
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case c.TLSCA != "" && c.TLSCert == "":
		return errors.New("--tls-ca goes with --tls-cert")
	case c.Server != "" && !c.Apply:
		return errors.New("--server goes with --apply")
	case c.Context != "" && !c.Apply:
		return errors.New("--context goes with --apply")
	case c.Context != "" && c.Server != "":
		return hint.Add(errors.New("--server beside --context: the context has the server, the login and TLS"), "leave one of them out")
	case c.Operator != "" && (len(c.Renew)+len(c.Revoke) > 0 || c.Apply):
		return hint.Add(errors.New("--operator makes a new setup"), "--renew, --revoke and --apply are for an existing one")
	case c.Operator != "":
		return nil
	case c.Hub != "":
		return hint.Add(errors.New("--hub is for a new setup"), "add --operator NAME")
	case c.Force || c.MutualTLS || c.ServerDir != "" || c.StoreDir != "" || c.Port != defaults.Port || c.Prefix != defaults.Prefix || c.Replicas != defaults.Replicas:
		return hint.Add(errors.New("--force, --port, --prefix, --replicas, --server-dir, --store-dir and --mutual-tls are for a new setup"), "add --operator NAME")
	case !c.hasChanges() && !c.Apply:
		return hint.Add(errors.New("nothing to do"), "--operator NAME makes a new setup; --node, --reader, --leaf, --host, --cluster, --ocsf, --renew, --revoke and --apply are for an existing one")
	}
	return nil
}

func (c *provisionCommand) makeNewSetup(e *env) error {
	if len(c.Host) == 0 {
		host, err := os.Hostname()
		if err != nil {
			return usageError{hint.Add(fmt.Errorf("the name of this host is not known: %w", err), "name the NATS server with --host")}
		}
		c.Host = []string{host}
	}
	if len(c.Reader) == 0 {
		c.Reader = []string{"xdr"}
	}
	done, err := provision.New(provision.Config{Dir: c.Dir, Operator: c.Operator, Prefix: c.Prefix, Nodes: c.Node, Readers: c.Reader, Leaves: c.Leaf, Hosts: c.Host,
		Port: c.Port, ServerDir: c.ServerDir, StoreDir: c.StoreDir, Replicas: c.Replicas, MutualTLS: c.MutualTLS, TLS: c.tlsFiles(), Cluster: c.Cluster, OCSF: c.OCSF, Hub: c.Hub, Force: c.Force})
	if err != nil {
		return err
	}
	if c.JSON {
		var result provisionResult
		result.addWritten(c.Dir, done)
		return printJSON(e.stdout, &result)
	}
	c.printWritten(e, done)
	if done.Aside != "" {
		fmt.Fprintf(e.stdout, "The old setup is now %s.\n", done.Aside)
	}
	start := fmt.Sprintf(`Start the NATS server:        nats-server -c %[1]s/server/nats-server.conf
     (on another host: carry %[1]s/server there, see --server-dir)`, c.Dir)
	if c.Hub != "" {
		start = fmt.Sprintf("Carry %s/server to %s, as its settings name it in <server_config>, readable for Pulse alone,\n"+
			"     do step 3 for it, and start its Pulse, which is the NATS server", c.Dir, c.Hub)
	}
	fmt.Fprintf(e.stdout, `
Next:
  1. %[4]s
  2. Make streams and buckets:     pulse provision %[1]s --apply
  3. Carry what is in each node's directory to its host's /var/ossec/etc: cp -r %[1]s/nodes/NAME/. /var/ossec/etc/
     Pulse reads pulse.d/nats.conf there with its pulse.conf, and has to be allowed to read the credentials.
%[5]s     Nodes: %[2]s. Add one with: pulse provision %[1]s --node NAME
  4. Give the XDR platform %[1]s/readers/%[3]s
Keep %[1]s/private safe, and off the server: whoever has it can make credentials.
`, c.Dir, cmp.Or(strings.Join(c.Node, ", "), "none yet"), c.Reader[0], start, c.describeLeaves())
	return nil
}

// describeLeaves returns what is left to do for leaf nodes; "" without any.
func (c *provisionCommand) describeLeaves() string {
	if len(c.Leaf) == 0 {
		return ""
	}
	return fmt.Sprintf(`     Leaf nodes: carry %[1]s/leaves/%[2]s to /etc/nats on its host, start nats-server -c /etc/nats/leaf.conf there,
     and give each node there its pulse.d/nats_leaf.conf as well
`, c.Dir, c.Leaf[0])
}

// printWritten lists the files that were written.
func (c *provisionCommand) printWritten(e *env, done *provision.Result) {
	for _, path := range done.Written {
		fmt.Fprintln(e.stdout, "wrote", filepath.Join(c.Dir, path))
	}
}

// printNextSteps prints what is left to do.
func (c *provisionCommand) printNextSteps(e *env) {
	fmt.Fprintln(e.stdout, "\nNext:")
	if len(c.Node)+len(c.Renew) > 0 {
		fmt.Fprintln(e.stdout, "  - Carry the new credentials to where they are used. Pulse reads changed files by itself.")
	}
	if len(c.Node)+len(c.Renew) > 0 {
		fmt.Fprintf(e.stdout, "  - Make the streams of the nodes' last wills: pulse provision %s --apply\n", c.Dir)
	}
	if len(c.Reader) > 0 {
		fmt.Fprintf(e.stdout, "  - Make the new reader's consumers: pulse provision %s --apply\n", c.Dir)
	}
	if c.Cluster != "" {
		fmt.Fprintf(e.stdout, "  - Make the cluster's bucket: pulse provision %s --apply\n"+
			"    Nodes that were there before have the rights to it after: pulse provision %s --renew NAME\n", c.Dir, c.Dir)
	}
	if c.OCSF != "" {
		fmt.Fprintf(e.stdout, "  - Make the stream of OCSF events, and its consumers: pulse provision %s --apply\n"+
			"    Nodes and readers that were there before have the rights to it after: pulse provision %s --renew NAME\n", c.Dir, c.Dir)
	}
	if len(c.Leaf) > 0 {
		fmt.Fprint(e.stdout, "  - If it is the first: nats-server.conf gets domain: hub in jetstream, and a block leafnodes, as docs/nats.md has them\n", c.describeLeaves())
	}
	if len(c.Host) > 0 || c.TLSCert != "" {
		fmt.Fprintln(e.stdout, "  - Carry server.key and server.crt to the server, and reload it: nats-server --signal reload")
	}
	if len(c.Renew)+len(c.Revoke) == 0 && (c.Cluster != "" || c.OCSF != "" || len(c.Leaf) > 0) {
		fmt.Fprintf(e.stdout, "  - Carry %s/server/accounts.conf to each server, and reload it: nats-server --signal reload\n", c.Dir)
	}
	if len(c.Renew)+len(c.Revoke) > 0 {
		fmt.Fprintf(e.stdout, "  - Carry %s/server/accounts.conf to each server, and reload it: nats-server --signal reload\n"+
			"    From then on the old credentials are refused, and connections that use them are closed.\n", c.Dir)
	}
}
