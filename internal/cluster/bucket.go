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
	stream  jetstream.Stream // the reader's, once the session is served; so is created
	created time.Time
	expires bool // a record may have a time after which the server removes it
	timeout time.Duration
	inbox   string
	answers chan *nats.Msg
	asked   int // requests for records
}

// A request for many records has the server look at all keys of the bucket, for some 100 ms
// with a million of them, while it stores nothing. One for a single order costs next to
// nothing, but for the way of the answer, which a server with accounts remembers for some
// seconds. So a few are asked for order by order, and many with one request.
const (
	ordersMax = 512   // orders that are asked for one by one
	manyMax   = 32768 // records that one request asks for
)

func openBucket(ctx context.Context, s *remote.Session, timeout time.Duration) (b *bucket, err error) {
	b = &bucket{session: s, timeout: timeout, inbox: s.Conn.NewInbox(), answers: make(chan *nats.Msg, 2*manyMax)}
	if b.js, err = s.JetStreamDomain().NewClient(s.Conn, jetstream.WithPublishAsyncTimeout(timeout), jetstream.WithPublishAsyncMaxPending(writesMax)); err != nil {
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
	b.expires = b.stream.CachedInfo().Config.AllowMsgTTL
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

func (b *bucket) domainSubject(subject string) string {
	return b.session.JetStreamDomain().Subject(subject)
}

// explain returns the server's refusal of a subject, which is why an answer is missing.
func (b *bucket) explain(err error, subject string) error {
	if refused := b.session.TakeRefusal(b.domainSubject(subject)); refused != nil {
		return refused
	}
	return err
}

// stored is a record as it was read.
type stored struct {
	order uint64
	key   string
	value []byte
	at    string // when, by the server's clock
}

// readRecords returns records after an order, in their order, where the last one has another
// order or was replaced. More is true if there may be more of them now. A replica of the
// stream that is behind returns fewer, and never one without all before it.
func (b *bucket) readRecords(ctx context.Context, after, upTo uint64) (list []stored, more bool, err error) {
	if upTo-after <= ordersMax {
		list, err = b.readOrders(ctx, after, upTo)
		return list, false, err
	}
	request, err := json.Marshal(map[string]any{"seq": after + 1, "batch": manyMax})
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
			return list, len(list) >= manyMax, nil
		case "404":
			return list, false, nil
		default:
			return nil, false, fmt.Errorf("read the bucket: the server answers %.60q", status+" "+m.Header.Get("Description"))
		}
		s, err := parseAnswer(m, after)
		if err != nil {
			return nil, false, err
		}
		after = s.order
		list = append(list, s)
	}
}

// readOrders asks for each order of a range at the same time. Where one has no record, it was
// replaced, or this replica is behind: which of them, the next record after it shows, since
// the replica that has that one has all before it.
func (b *bucket) readOrders(ctx context.Context, after, last uint64) (list []stored, err error) {
	found, err := b.askForOrders(ctx, after, last)
	if err != nil {
		return nil, err
	}
	for order := after + 1; order <= last; order++ {
		s := found[order-after-1]
		if s.order == 0 {
			if s, err = b.readNext(ctx, order-1); err != nil || s.order == 0 {
				return list, err
			}
		}
		list = append(list, s)
		order = s.order
	}
	return list, nil
}

// askForOrders returns the records of the orders after one up to another; the zero value for
// those without.
func (b *bucket) askForOrders(ctx context.Context, after, last uint64) ([]stored, error) {
	b.asked++
	prefix := b.inbox + "." + strconv.Itoa(b.asked) + "-"
	for order := after + 1; order <= last; order++ {
		if err := b.session.Conn.PublishRequest(b.domainSubject(directGet), prefix+strconv.FormatUint(order, 10), fmt.Appendf(nil, `{"seq":%d}`, order)); err != nil {
			return nil, err
		}
	}
	found := make([]stored, last-after)
	for range found {
		m, err := b.nextAnswer(ctx, prefix)
		if err != nil {
			return nil, fmt.Errorf("read the bucket: %w", b.explain(err, directGet))
		}
		s, err := parseSingleAnswer(m, after)
		if err != nil {
			return nil, err
		}
		if s.order > last {
			return nil, errAnswer
		}
		if s.order > 0 {
			found[s.order-after-1] = s
		}
	}
	return found, nil
}

// readNext returns the record after an order; the zero value if this replica has none.
func (b *bucket) readNext(ctx context.Context, after uint64) (s stored, err error) {
	answer, err := b.request(directGet, fmt.Appendf(nil, `{"seq":%d,"next_by_subj":">"}`, after+1))
	if err != nil {
		return s, err
	}
	m, err := b.nextAnswer(ctx, answer)
	if err != nil {
		return s, fmt.Errorf("read the bucket: %w", b.explain(err, directGet))
	}
	return parseSingleAnswer(m, after)
}

// parseSingleAnswer parses the answer to a request for one record; the zero value for none.
func parseSingleAnswer(m *nats.Msg, after uint64) (s stored, err error) {
	switch status := m.Header.Get("Status"); status {
	case "":
		return parseAnswer(m, after)
	case "404":
		return s, nil
	default:
		return s, fmt.Errorf("read the bucket: the server answers %.60q", status+" "+m.Header.Get("Description"))
	}
}

var errAnswer = errors.New("read the bucket: an answer without an order and a key")

func parseAnswer(m *nats.Msg, after uint64) (s stored, err error) {
	order, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	key, ok := strings.CutPrefix(m.Header.Get("Nats-Subject"), keyPrefix)
	if err != nil || !ok || order <= after {
		return s, errAnswer
	}
	return stored{order, key, m.Data, m.Header.Get("Nats-Time-Stamp")}, nil
}

// request sends a request for records, and returns where its answers arrive.
func (b *bucket) request(subject string, data []byte) (answer string, err error) {
	b.asked++
	answer = b.inbox + "." + strconv.Itoa(b.asked) + "-"
	return answer, b.session.Conn.PublishRequest(b.domainSubject(subject), answer, data)
}

func (b *bucket) nextAnswer(ctx context.Context, answer string) (*nats.Msg, error) {
	timeout := time.NewTimer(b.timeout)
	defer timeout.Stop()
	for {
		select {
		case m := <-b.answers:
			if strings.HasPrefix(m.Subject, answer) { // else it is to a request that was given up
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
	m, err := b.session.Conn.RequestWithContext(ctx, b.domainSubject(keysGet+node), nil)
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
