package outbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/streamfiles"
)

func TestAStoreThatIsRemovedWhilePulseRunsEndsIt(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(dir string) error
		want string
	}{
		{"the directory is deleted", os.RemoveAll, "was removed or replaced while Pulse was running"},
		{"the directory is moved", func(dir string) error { return os.Rename(dir, dir+"2") }, "was removed or replaced while Pulse was running"},
		{"another one is in its place", func(dir string) error {
			if err := os.Rename(dir, dir+"2"); err != nil {
				return err
			}
			return os.CopyFS(dir, os.DirFS(dir+"2"))
		}, "was removed or replaced while Pulse was running"},
		{"a stream is deleted", func(dir string) error { return os.RemoveAll(streamfiles.Dir(dir, "TELEMETRY")) },
			"stream TELEMETRY: the directory was removed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "outbox")
			o := mustOpen(t, Config{Dir: dir})
			mustPublish(t, o, append(messages(Status, 1, 10), messages(Telemetry, 1, 10)...))
			if err := tt.do(dir); err != nil {
				t.Fatal(err)
			}
			o.storeChecked = time.Time{}                                  // some time later
			err := o.Publish(testContext(t), messages(Telemetry, 11, 11)) // which nobody syncs
			if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v", err)
			}
			if o.Err() == nil {
				t.Error("the outbox thinks that it can store")
			}
		})
	}
}

func TestAStreamFileThatIsReplacedOrRemovedIsNoStatusOnTheDisk(t *testing.T) {
	for name, do := range map[string]func(path string) error{
		"it is removed": os.Remove,
		"another one is in its place": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.WriteFile(path, data, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := mustOpen(t, Config{})
			mustPublish(t, o, messages(Status, 1, 1))
			if err := do(filepath.Join(streamfiles.MessagesDir(o.cfg.Dir, "STATUS"), "1.blk")); err != nil {
				t.Fatal(err)
			}
			if err := o.Publish(testContext(t), messages(Status, 2, 2)); err == nil || !strings.Contains(err.Error(), "sync to disk: ") {
				t.Errorf("error is %v", err)
			}
		})
	}
}
