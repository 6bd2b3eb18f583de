package config

import (
	"fmt"
	"path"
	"slices"
	"time"
)

// setting describes one element of the file.
type setting struct {
	path  string    // below <ossec_config>: "nats/server_url"
	def   string    // as it would be written in a file
	doc   string    // one sentence for the reference
	when  applyTime // whether a change needs a restart
	field func(*Config) field
}

// applyTime is when a change of a setting takes effect.
type applyTime bool

const (
	live    applyTime = true  // when the settings are read again
	atStart applyTime = false // when the node starts
)

func (s *setting) elementName() string { return path.Base(s.path) }
func (s *setting) blockPath() string   { return path.Dir(s.path) }

// quoteElementValue returns an element with its value for an error. The value of server_url may hold a password in a broken form, and is left out.
func (s *setting) quoteElementValue(value string) string {
	if s.path == pathServerURL {
		return "<server_url>"
	}
	return fmt.Sprintf("<%s>%s</%s>", s.elementName(), quoteBrief(value), s.elementName())
}

// Paths that other code of this package looks up.
const (
	pathKeepAlive    = "remote/manager_keepalive"
	pathInterval     = pathKeepAlive + "/interval"
	pathTimeout      = pathKeepAlive + "/timeout"
	pathServerURL    = "nats/server_url"
	pathServerNode   = "nats/server_node"
	pathServerConfig = "nats/server_config"
	pathPrefix       = "nats/subject_prefix"
	pathOCSF         = "nats/ocsf_subject"
	pathDomain       = "nats/jetstream_domain"
	pathCreds        = "nats/credentials_file"
	pathNKey         = "nats/nkey_file"
	pathUser         = "nats/user"
	pathPassword     = "nats/password_file"
	pathToken        = "nats/token_file"
	pathTLSCA        = "nats/tls_ca"
	pathTLSCert      = "nats/tls_cert"
	pathTLSKey       = "nats/tls_key"
	pathHome         = "pulse/home"
	pathRecipients   = "nats/recipients_file"
	pathSigningKey   = "nats/signing_key_file"
	pathHighAlert    = "nats/high_alert_threshold"
	pathClientKeys   = "pulse/client_keys"
	pathNodeName     = "pulse/node_name"
	pathHTTP         = "pulse/http"
	pathHTTPToken    = "pulse/http_token_file"
	pathHTTPCert     = "pulse/http_cert"
	pathHTTPKey      = "pulse/http_key"

	pathWazuhDashboard = "pulse/wazuh_dashboard_url"

	pathClusterEnabled = "cluster/enabled"
)

// table has every setting in document order.
var table = slices.Concat(remoteTable, keepAliveTable, natsTable, pulseTable, clusterTable)

var remoteTable = []setting{
	{"remote/port", "1514", "The port agents connect to.", atStart,
		func(c *Config) field { return intField{&c.Remote.Port, 1, 65535} }},
	{"remote/protocol", "tcp", "How agents connect: tcp, udp or tcp,udp.", atStart,
		func(c *Config) field { return protocolField{&c.Remote.TCP, &c.Remote.UDP} }},
	{"remote/local_ip", "0.0.0.0", "The address to listen on for agents.", atStart,
		func(c *Config) field { return addrField{&c.Remote.LocalIP} }},
}

var keepAliveTable = []setting{
	{pathKeepAlive + "/enabled", "yes", "Send keep-alives to agents.", live,
		func(c *Config) field { return boolField{&c.KeepAlive.Enabled} }},
	{pathInterval, "60", "The time between keep-alives to an agent; agents are spread evenly over it.", live,
		func(c *Config) field { return durationField{&c.KeepAlive.Interval, shortestDuration, day} }},
	{pathTimeout, "180", "Silence for this long makes an agent disconnected; at least interval, better three times as much.", live,
		func(c *Config) field { return durationField{&c.KeepAlive.Timeout, shortestDuration, 7 * day} }},
	{pathKeepAlive + "/max_missed", "3", "This many unanswered keep-alives in a row make an agent disconnected.", live,
		func(c *Config) field { return intField{&c.KeepAlive.MaxMissed, 1, 100} }},
	{pathKeepAlive + "/retry_interval", "30", "A keep-alive unanswered for this long is a miss, and the next goes out at once.", live,
		func(c *Config) field { return durationField{&c.KeepAlive.RetryInterval, shortestDuration, day} }},
	{pathKeepAlive + "/method", "request", "What a keep-alive is: request (a round trip), notify (a message without an answer) or ack (silent).", atStart,
		func(c *Config) field { return choiceField{&c.KeepAlive.Method, []string{"request", "notify", "ack"}} }},
	{pathKeepAlive + "/reconnect_grace", "2", "A closed connection makes an agent disconnected after this, unless the agent is back.", live,
		func(c *Config) field { return durationField{&c.KeepAlive.ReconnectGrace, 0, hour} }},
	{pathKeepAlive + "/suspect_timeout", "5", "An agent that is late compared with its own past is probed at once, with answers due in this time.", live,
		func(c *Config) field { return durationField{&c.KeepAlive.SuspectTimeout, shortestDuration, day} }},
	{pathKeepAlive + "/outage_share", "30", "This share of the active agents, in percent, and at least 20 of them, lost within one interval is a fleet outage.", live,
		func(c *Config) field { return percentField{intField{&c.KeepAlive.OutageShare, 1, 100}} }},
	{pathKeepAlive + "/outage_hold", "60", "When a fleet outage is over, agents that stay away get their alerts after this.", live,
		func(c *Config) field { return durationField{&c.KeepAlive.OutageHold, 0, day} }},
	{pathKeepAlive + "/flap_threshold", "6", "More than this many status changes of an agent within flap_window are flapping.", live,
		func(c *Config) field { return intField{&c.KeepAlive.FlapThreshold, 1, 100} }},
	{pathKeepAlive + "/flap_window", "600", "The time in which status changes are counted for flap_threshold.", live,
		func(c *Config) field { return durationField{&c.KeepAlive.FlapWindow, time.Second, day} }},
	{pathKeepAlive + "/host_probe", "yes", "Find out whether the host of a lost agent still answers.", live,
		func(c *Config) field { return boolField{&c.KeepAlive.HostProbe} }},
	{pathKeepAlive + "/host_probe_ports", "22,135,445", "The TCP ports that are tried for that where a ping has no answer; empty: none.", live,
		func(c *Config) field { return newPortListField(&c.KeepAlive.HostProbePorts) }},
	{pathKeepAlive + "/escalate_after", "60,3600,86400", "An agent that is away for each of these is an alert, of a level that rises; no: none.", live,
		func(c *Config) field { return newDurationListField(&c.KeepAlive.EscalateAfter, shortestDuration, year) }},
	{pathKeepAlive + "/dormant_after", "1209600", "An agent that is away for this long is dormant, and counted apart; 0: none is.", live,
		func(c *Config) field { return durationField{&c.KeepAlive.DormantAfter, 0, 10 * year} }},
}

var natsTable = []setting{
	{"nats/enabled", "yes", "Publish to NATS.", atStart,
		func(c *Config) field { return boolField{&c.NATS.Enabled} }},
	{pathServerURL, "", "The XDR's NATS servers, separated by commas; empty: the embedded server listens for XDR clients.", atStart,
		func(c *Config) field { return serverURLField{&c.NATS.ServerURL} }},
	{pathServerNode, "", "The node whose Pulse runs the NATS server at server_url; empty: it is no Pulse.", atStart,
		func(c *Config) field { return textField{&c.NATS.ServerNode, optionalRule(token)} }},
	{pathServerConfig, "", "The configuration of the NATS server that this Pulse runs for the nodes of its cluster, as pulse provision --hub writes it; empty: it runs none.", atStart,
		func(c *Config) field { return trustFile{optionalPath(&c.NATS.ServerConfig)} }},
	{"nats/listen", "127.0.0.1:4222", "Where the embedded server listens when there is no server_url.", atStart,
		func(c *Config) field { return textField{&c.NATS.Listen, hostPort} }},
	{pathCreds, "", "The NATS credentials file; empty: none.", atStart,
		func(c *Config) field { return secretFile{optionalPath(&c.NATS.CredentialsFile)} }},
	{pathNKey, "", "The file of an NKey seed to log in with; empty: none.", atStart,
		func(c *Config) field { return secretFile{optionalPath(&c.NATS.NKeyFile)} }},
	{pathUser, "", "The user to log in as; goes with password_file.", atStart,
		func(c *Config) field { return textField{&c.NATS.User, optionalRule(userName)} }},
	{pathPassword, "", "The file of that user's password.", atStart,
		func(c *Config) field { return secretFile{optionalPath(&c.NATS.PasswordFile)} }},
	{pathToken, "", "The file of a token to log in with; empty: none.", atStart,
		func(c *Config) field { return secretFile{optionalPath(&c.NATS.TokenFile)} }},
	{"nats/allow_plaintext", "no", "Log in to another host over an unencrypted connection, too.", atStart,
		func(c *Config) field { return boolField{&c.NATS.AllowPlaintext} }},
	{pathPrefix, "wazuh.xdr", "What every subject starts with.", atStart,
		func(c *Config) field { return textField{&c.NATS.SubjectPrefix, subject} }},
	{pathOCSF, "", "What the subjects start with on which status changes and alerts are published as OCSF events, too; empty: nowhere.", atStart,
		func(c *Config) field { return textField{&c.NATS.OCSFSubject, optionalRule(subject)} }},
	{pathDomain, "", "The JetStream domain that has the streams and buckets, of a hub to which the server at server_url is a leaf node; empty: that server's own.", atStart,
		func(c *Config) field { return textField{&c.NATS.JetStreamDomain, optionalRule(token)} }},
	{pathTLSCA, "", "The authorities that may have signed the server's certificate; empty: the system's.", atStart,
		func(c *Config) field { return trustFile{optionalPath(&c.NATS.TLSCA)} }},
	{pathTLSCert, "", "Our certificate; goes with tls_key.", atStart,
		func(c *Config) field { return trustFile{optionalPath(&c.NATS.TLSCert)} }},
	{pathTLSKey, "", "The key of tls_cert.", atStart,
		func(c *Config) field { return secretFile{optionalPath(&c.NATS.TLSKey)} }},
	{"nats/max_reconnects", "10", "Failures in a row before the server is called unavailable; Pulse never gives up.", atStart,
		func(c *Config) field { return intField{&c.NATS.MaxReconnects, 1, 1_000_000} }},
	{"nats/reconnect_delay", "5", "The time between attempts to reach the server.", atStart,
		func(c *Config) field { return durationField{&c.NATS.ReconnectDelay, shortestDuration, hour} }},
	{"nats/encrypt_messages", "no", "Encrypt messages for the recipients.", atStart,
		func(c *Config) field { return boolField{&c.NATS.EncryptMessages} }},
	{pathRecipients, "/var/ossec/etc/pulse-recipients.jwks", "The public keys messages are encrypted for.", live,
		func(c *Config) field { return trustFile{textField{&c.NATS.RecipientsFile, absolutePath}} }},
	{"nats/message_signing", "yes", "Sign messages.", atStart,
		func(c *Config) field { return boolField{&c.NATS.MessageSigning} }},
	{pathSigningKey, "", "The private key messages are signed with, a JWK or an NKey seed; empty: signing.jwk in state_dir. It is made if it is not there.", atStart,
		func(c *Config) field { return secretFile{optionalPath(&c.NATS.SigningKeyFile)} }},
	{"nats/keepalive_events", "all", "Which keep-alives have messages: all, failed (those without an answer) or none. Status changes and alerts always have.", atStart,
		func(c *Config) field {
			return choiceField{&c.NATS.KeepAliveEvents, []string{"all", "failed", "none"}}
		}},
	{"nats/audit_logging", "yes", "Keep a tamper-evident log of what happens and what was sent, in audit under state_dir.", atStart,
		func(c *Config) field { return boolField{&c.NATS.AuditLogging} }},
	{"nats/audit_detail", "summary", "How keep-alives are in that log: full (a line each) or summary (sums per agent and minute).", live,
		func(c *Config) field { return choiceField{&c.NATS.AuditDetail, []string{"summary", "full"}} }},
	{"nats/audit_limit", "1GB", "How much that log may take on disk, oldest files removed first.", atStart,
		func(c *Config) field { return sizeField{&c.NATS.AuditLimit, 1 << 20, 1 << 50} }},
	{pathHighAlert, "8", "The alert level from which a message also goes to the alerts subject.", live,
		func(c *Config) field { return intField{&c.NATS.HighAlertThreshold, 0, 15} }},
}

var pulseTable = []setting{
	{"pulse/link", "auto", "How agents are reached: listen (Pulse is their manager), attach (a stock manager on this host) or auto.", atStart,
		func(c *Config) field { return choiceField{&c.Pulse.Link, []string{"auto", "attach", "listen"}} }},
	{pathHome, defaultHome, "The manager's home directory; unless set /var/wazuh-manager if a manager of Wazuh 5 is there, and none here.", atStart,
		func(c *Config) field { return textField{&c.Pulse.Home, absolutePath} }},
	{pathClientKeys, "/var/ossec/etc/client.keys", "The agents' keys; etc/client.keys under home unless set.", atStart,
		func(c *Config) field { return textField{&c.Pulse.ClientKeys, absolutePath} }},
	{"pulse/state_dir", "/var/lib/pulse", "Where Pulse keeps its own data.", atStart,
		func(c *Config) field { return textField{&c.Pulse.StateDir, absolutePath} }},
	{pathNodeName, hostDefault, "This node's name in subjects and messages, different on every node; unless set a manager's <cluster><node_name>, else the host's name.", atStart,
		func(c *Config) field { return textField{&c.Pulse.NodeName, token} }},
	{pathHTTP, "127.0.0.1:8420", "Where the dashboard, API, metrics and health listen; empty: nowhere.", atStart,
		func(c *Config) field { return textField{&c.Pulse.HTTP, optionalRule(hostPort)} }},
	{pathHTTPToken, "", "The file of a token that clients of the API and of the dashboard have to send; empty: none.", atStart,
		func(c *Config) field { return secretFile{optionalPath(&c.Pulse.HTTPTokenFile)} }},
	{pathHTTPCert, "", "The certificate, with its chain, that http has; goes with http_key.", atStart,
		func(c *Config) field { return trustFile{optionalPath(&c.Pulse.HTTPCert)} }},
	{pathHTTPKey, "", "The key of http_cert.", atStart,
		func(c *Config) field { return secretFile{optionalPath(&c.Pulse.HTTPKey)} }},
	{pathWazuhDashboard, "", "Where Wazuh's dashboard is: Pulse's own links each agent to its page there; empty: nowhere.", atStart,
		func(c *Config) field { return textField{&c.Pulse.WazuhDashboardURL, optionalRule(webURL)} }},
	{"pulse/update_status", "yes", "With link attach: write transitions to the manager's database, raise its alert, send events for its rules.", atStart,
		func(c *Config) field { return boolField{&c.Pulse.UpdateStatus} }},
	{"pulse/max_in_flight", "128", "With link attach: how many requests to agents the manager may have to serve for Pulse at once; never more than a quarter of its request_pool.", atStart,
		func(c *Config) field { return intField{&c.Pulse.MaxInFlight, 1, 1024} }},
	{"pulse/verify_counters", "yes", "With link listen: an agent's message that is not newer than all before counts only after the agent has answered a request.", atStart,
		func(c *Config) field { return boolField{&c.Pulse.VerifyCounters} }},
	{"pulse/log_level", "info", "The lowest level of log lines: debug, info, warn or error.", live,
		func(c *Config) field {
			return choiceField{&c.Pulse.LogLevel, []string{"debug", "info", "warn", "error"}}
		}},
	{"pulse/telemetry_limit", "1GB", "How much undelivered telemetry is kept on disk, oldest dropped first (KB, MB, GB and TB are powers of 1024).", atStart,
		func(c *Config) field { return sizeField{&c.Pulse.TelemetryLimit, 1 << 20, 1 << 50} }},
	{"pulse/status_limit", "31536000", "How long status changes and alerts are kept on disk once they are confirmed, but for each agent's last status; 0: for ever.", atStart,
		func(c *Config) field { return optionalDuration{durationField{&c.Pulse.StatusLimit, day, 10 * year}} }},
}

var clusterTable = []setting{
	{pathClusterEnabled, "no", "With link listen: this node is one of several that agents change between, and shares with them at server_url who has which.", atStart,
		func(c *Config) field { return boolField{&c.Cluster.Enabled} }},
}

// lookupSetting returns the setting at a path below <ossec_config>, nil if there is none.
func lookupSetting(path string) *setting {
	i := slices.IndexFunc(table, func(s setting) bool { return s.path == path })
	if i < 0 {
		return nil
	}
	return &table[i]
}

// settingsOfBlock lists the settings of a block in document order.
func settingsOfBlock(block string) []setting {
	var in []setting
	for _, s := range table {
		if s.blockPath() == block {
			in = append(in, s)
		}
	}
	return in
}
