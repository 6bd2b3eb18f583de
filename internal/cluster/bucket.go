package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/seal"
)

const (
	stream     = "KV_" + kv.ClusterBucket
	keyPrefix  = "$KV." + kv.ClusterBucket + "."
	directGet  = "$JS.API.DIRECT.GET." + stream
	keysPrefix = "$KV." + keys.Bucket + "."
	keysGet    = "$JS.API.DIRECT.GET.KV_" + keys.Bucket + "." + keysPrefix
)

// hintSubject is where a node publishes up to which order it has stored records.
func hintSubject(node string) string { return "pulse." + node + ".cluster" }

var errAnother = errors.New("the bucket is another one than before")

// bucket is the bucket in one session.
type bucket struct {
	session *remote.Session
	js      jetstream.JetStream
	stream  jetstream.Stream
	created time.Time
	timeout time.Duration
	inbox   string
	answers chan *nats.Msg
	asked   int // requests for records
}

// answersMax is how many records one request is answered with.
const answersMax = 1024

func openBucket(ctx context.Context, s *remote.Session, timeout time.Duration) (b *bucket, err error) {
	b = &bucket{session: s, timeout: timeout, inbox: s.Conn.NewInbox(), answers: make(chan *nats.Msg, 2*answersMax)}
	if b.js, err = jetstream.New(s.Conn, jetstream.WithPublishAsyncTimeout(timeout), jetstream.WithPublishAsyncMaxPending(writesMax)); err != nil {
		return nil, err
	}
	err = b.readInfo(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err = b.create(ctx); err == nil {
			err = b.readInfo(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("find the bucket %s: %w", kv.ClusterBucket, b.explain(err, "$JS.API.STREAM.INFO."+stream))
	}
	_, err = s.Conn.ChanSubscribe(b.inbox+".*", b.answers)
	return b, err
}

func (b *bucket) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	_, err := b.js.CreateStream(ctx, kv.ClusterStreamConfig())
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was quicker
		return nil
	}
	if err != nil {
		return fmt.Errorf("make it: %w", b.explain(err, "$JS.API.STREAM.CREATE."+stream))
	}
	return nil
}

// readInfo asks for the state of the stream. That it is another one than before is an error.
func (b *bucket) readInfo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	if b.stream != nil && !s.CachedInfo().Created.Equal(b.created) {
		return errAnother
	}
	b.stream, b.created = s, s.CachedInfo().Created
	return nil
}

// explain returns the server's refusal of a subject, which is why an answer is missing.
func (b *bucket) explain(err error, subject string) error {
	if refused := b.session.TakeRefusal(subject); refused != nil {
		return refused
	}
	return err
}

// stored is a record as it was read.
type stored struct {
	order uint64
	key   string
	value []byte
}

// readRecords returns up to answersMax records after an order, in their order. Fewer are all
// that this replica has.
func (b *bucket) readRecords(ctx context.Context, after uint64) (list []stored, more bool, err error) {
	request, err := json.Marshal(map[string]any{"seq": after + 1, "batch": answersMax})
	if err != nil {
		return nil, false, err
	}
	answer, err := b.request(directGet, request)
	if err != nil {
		return nil, false, err
	}
	list = make([]stored, 0, 64)
	for {
		m, err := b.nextAnswer(ctx, answer)
		if err != nil {
			return nil, false, fmt.Errorf("read the bucket: %w", b.explain(err, directGet))
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204":
			return list, len(list) >= answersMax, nil
		case "404":
			return list, false, nil
		default:
			return nil, false, fmt.Errorf("read the bucket: the server answers %.60q", status+" "+m.Header.Get("Description"))
		}
		order, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
		key, ok := strings.CutPrefix(m.Header.Get("Nats-Subject"), keyPrefix)
		if err != nil || !ok || order <= after {
			return nil, false, errors.New("read the bucket: an answer without an order and a key")
		}
		after = order
		list = append(list, stored{order, key, m.Data})
	}
}

// request sends a request for records, and returns where its answers arrive.
func (b *bucket) request(subject string, data []byte) (answer string, err error) {
	b.asked++
	answer = b.inbox + "." + strconv.Itoa(b.asked)
	return answer, b.session.Conn.PublishRequest(subject, answer, data)
}

func (b *bucket) nextAnswer(ctx context.Context, answer string) (*nats.Msg, error) {
	timeout := time.NewTimer(b.timeout)
	defer timeout.Stop()
	for {
		select {
		case m := <-b.answers:
			if m.Subject == answer { // else it is to a request that was given up
				return m, nil
			}
		case <-timeout.C:
			return nil, nats.ErrTimeout
		case <-b.session.Ended():
			return nil, b.session.Reason()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// countOwn returns how many claims of a node the bucket has.
func (b *bucket) countOwn(ctx context.Context, node string) (int, error) {
	request, err := json.Marshal(map[string]any{"seq": 1, "batch": 1, "next_by_subj": keyPrefix + node + ".*"})
	if err != nil {
		return 0, err
	}
	answer, err := b.request(directGet, request)
	if err != nil {
		return 0, err
	}
	for count := -1; ; { // without the beat
		m, err := b.nextAnswer(ctx, answer)
		if err != nil {
			return 0, fmt.Errorf("count this node's records: %w", b.explain(err, directGet))
		}
		if m.Header.Get("Status") != "" {
			return max(count, 0), nil
		}
		pending, err := strconv.Atoi(m.Header.Get("Nats-Num-Pending"))
		if err != nil {
			return 0, errors.New("count this node's records: an answer without a number")
		}
		count += 1 + pending
	}
}

// readOwnBeat returns the value of this node's beat, nil for none.
func (b *bucket) readOwnBeat(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	m, err := b.stream.GetLastMsgForSubject(ctx, keyPrefix+key)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read this node's beat: %w", b.explain(err, directGet+"."+keyPrefix+key))
	}
	return m.Data, nil
}

var errBadKeys = errors.New("they cannot be read")

// readPublicKeys returns the public keys of a node, none if it has not published any.
func (b *bucket) readPublicKeys(ctx context.Context, node string) ([]*seal.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	m, err := b.session.Conn.RequestWithContext(ctx, keysGet+node, nil)
	if err != nil {
		return nil, fmt.Errorf("read the public keys of %s: %w", node, b.explain(err, keysGet+node))
	}
	if m.Header.Get("Status") != "" {
		return nil, nil
	}
	list, err := seal.ParseKeys(m.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadKeys, err)
	}
	return list, nil
}
