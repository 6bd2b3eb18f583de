package outbox

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// publishIn makes the test binary publish into a directory, from the number in
// publishFrom on, until it is killed.
const (
	publishIn   = "OUTBOX_PUBLISH_IN"
	publishFrom = "OUTBOX_PUBLISH_FROM"
)

// kills is how often a process is killed, each time over what the last one left.
const kills = 20

// TestAKilledProcessLosesNothingItPublished kills a process that publishes both
// classes under one rising number, as a node does. It tells which numbers Publish
// has returned for: those must be there. What is there of the next ones, which
// were under way, must follow on without a gap.
func TestAKilledProcessLosesNothingItPublished(t *testing.T) {
	if dir := os.Getenv(publishIn); dir != "" {
		publishForever(t, dir)
	}
	dir := t.TempDir()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	held := 0
	times := kills
	if testing.Short() {
		times = 6
	}
	for i := range times {
		told := killedPublishing(t, dir, held+1, 1+random.IntN(8), time.Duration(random.IntN(20_000))*time.Microsecond)
		held = heldIn(t, dir)
		if held < told {
			t.Fatalf("kill %d of seed %d: Publish returned for %d, the streams go to %d", i, seed, told, held)
		}
	}
	t.Logf("%d messages over %d kills", held, times)
}

func publishForever(t *testing.T, dir string) {
	next, err := strconv.Atoi(os.Getenv(publishFrom))
	if err != nil {
		t.Fatal(err)
	}
	o := mustOpen(t, Config{Dir: dir})
	for size := 1; ; size = size*7%301 + 1 {
		mustPublish(t, o, shared(next, size))
		next += size
		fmt.Printf("published %d\n", next-1)
	}
}

// shared makes messages of both classes, numbered together in the order of publication.
func shared(first, size int) []Message {
	status := size / 3
	msgs := append(messages(Status, first, first+status-1), messages(Telemetry, first+status, first+size-1)...)
	for i := range msgs {
		msgs[i].Data = fmt.Appendf(nil, "%d %s", first+i, strings.Repeat("x", 400))
	}
	return msgs
}

// killedPublishing starts a process, kills it some time after it has published
// some batches, and returns the last number it told.
func killedPublishing(t *testing.T, dir string, from, batches int, after time.Duration) (told int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	child.Env = append(os.Environ(), publishIn+"="+dir, publishFrom+"="+strconv.Itoa(from))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan(); n++ {
		if _, err := fmt.Sscanf(lines.Text(), "published %d", &told); err != nil {
			t.Errorf("child: %s", lines.Text())
		}
		if n == batches {
			time.AfterFunc(after, func() { child.Process.Kill() })
		}
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("child: %v", err)
	}
	return told
}

// heldIn returns how far the numbers in both streams together go, and wants
// every one up to there once, and those of each stream in order.
func heldIn(t *testing.T, dir string) int {
	t.Helper()
	o := mustOpen(t, Config{Dir: dir})
	defer mustClose(t, o)
	seen := map[int]bool{}
	for c := range Class(classes) {
		previous := 0
		for _, n := range numbersOf(t, o, c) {
			if n <= previous {
				t.Fatalf("%s: %d after %d", c, n, previous)
			}
			previous = n
			seen[n] = true
		}
	}
	for n := range len(seen) {
		if !seen[n+1] {
			t.Fatalf("of %d messages, number %d is not there", len(seen), n+1)
		}
	}
	return len(seen)
}

func numbersOf(t *testing.T, o *Outbox, c Class) []int {
	t.Helper()
	cons, err := o.js.OrderedConsumer(testContext(t), c.String(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := cons.Info(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	numbers := make([]int, info.NumPending)
	if len(numbers) == 0 {
		return nil
	}
	msgs, err := cons.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer msgs.Stop()
	for i := range numbers {
		m, err := msgs.Next(jetstream.NextContext(testContext(t)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(m.Data()), &numbers[i]); err != nil {
			t.Fatal(err)
		}
	}
	return numbers
}
