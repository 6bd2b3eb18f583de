package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/natscontext"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/top"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// completeCommand is for the shell code of [completionCommand].
type completeCommand struct {
	Kind  string   `arg:"" enum:"agents,nodes,silences,contexts,filters,subjects" help:"Of which kind."`
	Words []string `arg:"" optional:"" help:"The command line up to the cursor, without the program."`
}

func (*completeCommand) Help() string {
	return `Prints values, one a line, each with a tab and what it is if that is known. It prints nothing, and no error, where the
daemon does not answer within a second.

    pulse complete agents -- agent 00`
}

// completeWait is how long the daemon may take; a shell waits for it.
const completeWait = 700 * time.Millisecond

// maxCompletions bounds what a shell gets.
const maxCompletions = 1000

// candidate is a value, and what it is.
type candidate struct{ value, what string }

// harmless are the values that a shell can be given: bash expands those of compgen.
var harmless = regexp.MustCompile(`^[A-Za-z0-9._:,@+-]+$`)

func (c *completeCommand) Run(e *env) error {
	ctx, cancel := context.WithTimeout(e.ctx, completeWait)
	defer cancel()
	typed := c.typedWord()
	done := ""
	if i := strings.LastIndexByte(typed, ','); i >= 0 && c.Kind == "agents" { // a list
		done, typed = typed[:i+1], typed[i+1:]
	}
	for _, found := range c.listCandidates(ctx, e, typed) {
		if !strings.HasPrefix(found.value, typed) || !harmless.MatchString(found.value) {
			continue
		}
		line := done + found.value
		if what := strings.TrimSpace(printable.Only(found.what)); what != "" {
			line += "\t" + what
		}
		if _, err := fmt.Fprintln(e.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

// typedWord returns the word at the cursor, without the flag that it is the value of.
func (c *completeCommand) typedWord() string {
	if len(c.Words) == 0 {
		return ""
	}
	word := c.Words[len(c.Words)-1]
	if name, value, found := strings.Cut(word, "="); found && (name == "" || strings.HasPrefix(name, "-")) { // bash has = as a word
		return value
	}
	return word
}

func (c *completeCommand) listCandidates(ctx context.Context, e *env, typed string) (list []candidate) {
	switch c.Kind {
	case "contexts":
		return valuesOf(natscontext.List())
	case "subjects":
		return c.listOwnSubjects(e)
	case "filters":
		for _, name := range top.FilterFields() {
			list = append(list, candidate{value: name + ":"})
		}
		return list
	}
	return c.askDaemon(ctx, e, typed)
}

// listOwnSubjects returns the subjects of messages that a shell can be given, by the settings: those without *.
func (c *completeCommand) listOwnSubjects(e *env) (list []candidate) {
	loaded, err := (&settingsFlag{Config: settingsFiles(c.Words)}).loadSettings(e)
	if err != nil {
		return nil
	}
	prefix := event.Prefix(loaded.NATS.SubjectPrefix)
	for _, subject := range append(listSubjects(prefix), prefix.ManagerStatus(loaded.Pulse.NodeName)) {
		list = append(list, candidate{value: subject})
	}
	return list
}

func valuesOf(names []string) (list []candidate) {
	for _, name := range names {
		list = append(list, candidate{value: name})
	}
	return list
}

// askDaemon returns what the running daemon knows, nothing if it cannot be asked.
func (c *completeCommand) askDaemon(ctx context.Context, e *env, typed string) (list []candidate) {
	quiet, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil
	}
	defer quiet.Close()
	settings := settingsFlag{Config: settingsFiles(c.Words)}
	client, err := settings.openDaemon(&env{ctx: ctx, stdout: e.stdout, stderr: quiet})
	if err != nil {
		return nil
	}
	switch c.Kind {
	case "agents":
		var page view.AgentPage
		query := url.Values{"limit": {fmt.Sprint(maxCompletions)}, "q": {typed}}
		if client.fetchJSON(ctx, "/api/v1/agents?"+query.Encode(), &page) == nil {
			for i := range page.Agents {
				list = append(list, candidate{page.Agents[i].ID, page.Agents[i].Name})
			}
		}
	case "nodes":
		var nodes view.NodeList
		if client.fetchJSON(ctx, "/api/v1/nodes", &nodes) == nil {
			for i := range nodes.Nodes {
				list = append(list, candidate{nodes.Nodes[i].Name, nodes.Nodes[i].State})
			}
		}
	case "silences":
		var silences silence.List
		if client.fetchJSON(ctx, silencesPath, &silences) == nil {
			for i := range silences.Silences {
				if s := &silences.Silences[i]; s.State != silence.Over && s.Origin == "command" {
					list = append(list, candidate{s.ID, s.Selects()})
				}
			}
		}
	}
	return list
}

// settingsFiles returns the settings files that a command line names.
func settingsFiles(words []string) (files []string) {
	for i, word := range words {
		name, value, found := strings.Cut(word, "=")
		switch {
		case name != "-c" && name != "--config":
		case found && value != "":
			files = append(files, value)
		case i+2 < len(words) && words[i+1] == "=": // as bash splits it
			files = append(files, words[i+2])
		case i+1 < len(words):
			files = append(files, words[i+1])
		}
	}
	return files
}
