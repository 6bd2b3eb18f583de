package natsserver

import (
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// proxyPrefix stands before the name of a request that the [consumerProxy] answers.
const proxyPrefix = "$PULSE.GATE."

// answerTime is how long the server keeps to which reader the answer to a request of
// the micro service goes, and so what a flood of requests that are dropped costs. The
// longest that an answer may take is 10 s.
const answerTime = 12 * time.Second

// newAccounts makes the two accounts of the embedded server. Ours holds the streams
// and all that is published. The readers' has nothing of its own: it imports, one way,
// the live subjects, the requests of [readerRequests], and those of the micro service.
// An answer to a request goes to an address that the server made up, and from there to
// the reply subject in the readers' account. So whatever reply subject a reader names,
// no stream of ours ever receives the answer.
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
		if err := ours.AddServiceExportWithResponse(r.target(), answers, only); err != nil {
			return nil, nil, fmt.Errorf("export %s to readers: %w", r.subject, err)
		}
		if err := readers.AddServiceImport(ours, r.subject, r.target()); err != nil {
			return nil, nil, fmt.Errorf("import %s for readers: %w", r.subject, err)
		}
		if r.proxied { // the proxy has to know whose request it is
			if err := readers.SetServiceImportSharing(ours, r.target(), true); err != nil {
				return nil, nil, fmt.Errorf("import %s for readers: %w", r.subject, err)
			}
		}
	}
	for _, subject := range serviceSubjects {
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
