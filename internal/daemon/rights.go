package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/republisher"
)

// Right is something that a node does on the NATS server of <server_url>.
type Right struct {
	What     string
	Err      error // why it cannot be done; nil if it can
	Optional bool  // the node works without it, or makes it itself
	Message  bool  // it is to publish a message to the platform
}

// trialTimeout is for one answer of the server in a trial.
const trialTimeout = 3 * time.Second

// TryRights tries what a node of the settings does on the NATS server: publish its heartbeat and its other messages,
// receive answers, write its buckets. Nothing is delivered, stored or made by that. An error [remote.ErrUntried] says that
// publishing could not be tried; the rights are then those that could be.
func TryRights(ctx context.Context, cfg *config.Config, s *remote.Session) (rights []Right, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*trialTimeout)
	defer cancel()
	inbox := s.Conn.NewInbox()
	rights = append(rights, Right{What: "receive answers", Err: s.TrySubscribe(ctx, inbox)})
	if rights[0].Err != nil {
		return rights, nil // no bucket can be tried without
	}
	prefix := event.Prefix(cfg.NATS.SubjectPrefix)
	messages := []Right{{What: prefix.ManagerStatus(cfg.Pulse.NodeName)}, {What: prefix.StatusChange("000")}, {What: prefix.NodeCondition()}, {What: prefix.KeepAlive("000")}}
	if cfg.NATS.OCSFSubject != "" {
		messages = append(messages, Right{What: republisher.Subject(cfg.NATS.OCSFSubject, cfg.Pulse.NodeName, "000")})
	}
	buckets := listBuckets(cfg)
	var subjects []string
	for _, r := range messages {
		subjects = append(subjects, r.What)
	}
	for _, b := range buckets {
		subjects = append(subjects, b.infoSubject(), b.keySubject(), b.createSubject())
	}
	refused, err := s.TryPublish(ctx, subjects...)
	if err != nil && !errors.Is(err, remote.ErrUntried) {
		return rights, err
	}
	if err == nil {
		for _, r := range messages {
			rights = append(rights, Right{What: "publish " + r.What, Err: refused[r.What], Message: true})
		}
	}
	for _, b := range buckets {
		rights = append(rights, b.tryBucket(ctx, s, refused))
	}
	return rights, err
}

// triedBucket is a bucket, and the key that is tried in it.
type triedBucket struct {
	domain    jsdomain.Domain
	name, key string
}

func listBuckets(cfg *config.Config) (list []triedBucket) {
	domain := jsdomain.Domain(cfg.NATS.JetStreamDomain)
	if !cfg.NATS.NoRoster {
		list = append(list, triedBucket{domain, event.AgentsBucket, "000"})
	}
	if cfg.NATS.MessageSigning {
		list = append(list, triedBucket{domain, keys.Bucket, cfg.Pulse.NodeName})
	}
	if _, member, err := readClusterMembership(cfg); err == nil && member {
		list = append(list, triedBucket{domain, kv.ClusterBucket, cfg.Pulse.NodeName + ".trial"})
	}
	return list
}

func (b triedBucket) infoSubject() string {
	return b.domain.Subject("$JS.API.STREAM.INFO.KV_" + b.name)
}
func (b triedBucket) createSubject() string {
	return b.domain.Subject("$JS.API.STREAM.CREATE.KV_" + b.name)
}
func (b triedBucket) keySubject() string { return b.domain.Subject("$KV." + b.name + "." + b.key) }

// tryBucket tries to write a key. Refused are the subjects that are known to be refused.
func (b triedBucket) tryBucket(ctx context.Context, s *remote.Session, refused map[string]error) Right {
	r := Right{What: "write the bucket " + b.name}
	for _, subject := range []string{b.infoSubject(), b.keySubject()} {
		if r.Err = refused[subject]; r.Err != nil {
			return r
		}
	}
	bucket, err := kv.Find(ctx, s.Conn, kv.BucketConfig{Stream: kv.StreamConfig(b.name, "", 1), Domain: b.domain, Timeout: trialTimeout, Refusal: s.TakeRefusal})
	switch {
	case errors.Is(err, kv.ErrNoBucket) && refused[b.createSubject()] != nil:
		r.Err = hint.Add(errors.New("there is none, and this user may not make it"), "make it on the server: pulse provision DIR --apply")
	case errors.Is(err, kv.ErrNoBucket), errors.Is(err, kv.ErrNoJetStream):
		r.Err, r.Optional = err, true
	case err != nil:
		r.Err = err
	default:
		r.Err = bucket.TryPut(ctx, b.key)
	}
	return r
}

// DescribeForeignLogin returns what is wrong with a login that is another node's, "" if a login may be this node's.
// Refused is whether the server refuses what this node needs.
func DescribeForeignLogin(node, user string, refused bool) string {
	if !refused || user == "" || user == node {
		return ""
	}
	return fmt.Sprintf("the login is that of %s, and this node is called %s", user, node)
}

// IsLoginOf reports whether a session's login is that of another node: the server lets it do under that name what it
// refuses under this node's.
func IsLoginOf(ctx context.Context, cfg *config.Config, s *remote.Session, node string) bool {
	own := cfg.Pulse.NodeName
	if event.ValidNode(node) != nil || node == own {
		return false
	}
	prefix := event.Prefix(cfg.NATS.SubjectPrefix)
	refused, err := s.TryPublish(ctx, prefix.ManagerStatus(own), prefix.ManagerStatus(node))
	if err == nil && refused[prefix.ManagerStatus(own)] != nil && refused[prefix.ManagerStatus(node)] == nil {
		return true
	}
	return s.TrySubscribe(ctx, "_INBOX."+own+".trial") != nil && s.TrySubscribe(ctx, "_INBOX."+node+".trial") == nil
}

// describeRightsMissing returns what the server refuses of what a node cannot do without: its heartbeat, and the answers
// to all that it sends.
func describeRightsMissing(o *observation) string {
	if len(o.refused) == 0 {
		return ""
	}
	what := fmt.Sprintf("the NATS server does not let this node %s", joinWithAnd(slices.Clone(o.refused)))
	if foreign := DescribeForeignLogin(o.Node, o.user, true); foreign != "" {
		what = foreign + ": " + what
	}
	return what + "; give it the login of " + o.Node + ", or the right"
}

// joinWithAnd joins texts: "a, b and c".
func joinWithAnd(texts []string) string {
	text := texts[0]
	for i, more := range texts[1:] {
		if i == len(texts)-2 {
			text += " and " + more
		} else {
			text += ", " + more
		}
	}
	return text
}
