package outbox

import (
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// gatePrefix stands before the name of a request that the [gate] answers.
const gatePrefix = "$PULSE.GATE."

// answerTime is how long the server remembers to whom the answer to a question
// goes, and so what a flood of questions that are dropped costs. The longest
// that a question may take is 10 s.
const answerTime = 12 * time.Second

// newAccounts makes the two accounts of the embedded server. Ours holds the
// streams and all that is published. The readers' has nothing of its own:
// it imports the live subjects, one way, the requests of [readerRequests], and
// the [questions], of which the same holds: who asks is never who answers.
// An answer to such a request goes to an address that the server made up, and
// from there to the reply subject in the readers' account. So whatever reply
// subject a reader names, no stream of ours ever hears the answer.
func newAccounts(prefix string) (ours, readers *server.Account, err error) {
	ours, readers = server.NewAccount(server.DEFAULT_GLOBAL_ACCOUNT), server.NewAccount("READERS")
	only := []*server.Account{readers}
	live := prefix + ".>"
	if err := ours.AddStreamExport(live, only); err != nil {
		return nil, nil, fmt.Errorf("export %s to readers: %w", live, err)
	}
	if err := readers.AddStreamImport(ours, live, ""); err != nil {
		return nil, nil, fmt.Errorf("import %s for readers: %w", live, err)
	}
	for _, r := range readerRequests() {
		answers := server.Singleton
		if r.streamed {
			answers = server.Streamed
		}
		if err := ours.AddServiceExportWithResponse(r.goesTo(), answers, only); err != nil {
			return nil, nil, fmt.Errorf("export %s to readers: %w", r.subject, err)
		}
		if err := readers.AddServiceImport(ours, r.subject, r.goesTo()); err != nil {
			return nil, nil, fmt.Errorf("import %s for readers: %w", r.subject, err)
		}
		if r.gated { // the gate learns whose request it is
			if err := readers.SetServiceImportSharing(ours, r.goesTo(), true); err != nil {
				return nil, nil, fmt.Errorf("import %s for readers: %w", r.subject, err)
			}
		}
	}
	for _, subject := range questions {
		if err := ours.AddServiceExportWithResponse(subject, server.Singleton, only); err != nil {
			return nil, nil, fmt.Errorf("export %s to readers: %w", subject, err)
		}
		if err := ours.SetServiceExportResponseThreshold(subject, answerTime); err != nil {
			return nil, nil, fmt.Errorf("export %s to readers: %w", subject, err)
		}
		if err := readers.AddServiceImport(ours, subject, subject); err != nil {
			return nil, nil, fmt.Errorf("import %s for readers: %w", subject, err)
		}
	}
	return ours, readers, nil
}
