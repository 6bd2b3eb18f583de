package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/sealing"
	"github.com/wazuh-pulse/pulse/seal"
)

type keysCommand struct {
	Generate keysGenerateCommand `cmd:"" help:"Make a private key."`
	Show     keysShowCommand     `cmd:"" help:"Show which keys there are, without their secrets."`
	Rotate   keysRotateCommand   `cmd:"" help:"Replace the node's signing key by a new one."`
	Export   keysExportCommand   `cmd:"" help:"Print public keys, for those who verify or encrypt."`
}

func (*keysCommand) Help() string {
	return `A node signs with its own key, which it makes at its first start. Readers of its messages need the public part:

    pulse keys export > pulse-public.jwks      # on the node

A platform that needs encrypted messages makes a key of its own, keeps it, and gives the public part to the node (<recipients_file>):

    pulse keys generate --use enc xdr.jwk      # on the platform's side
    pulse keys export xdr.jwk > recipients.jwks`
}

type keysGenerateCommand struct {
	settingsFlag
	File string `arg:"" optional:"" type:"path" placeholder:"FILE" help:"Where to put it. Default: the node's signing key, at the path of its settings."`
	Use  string `enum:"sig,enc" default:"sig" placeholder:"sig|enc" help:"What it is for: to sign, or to encrypt for. Default: ${default}."`
	JSON bool   `help:"Print one JSON object."`
}

func (*keysGenerateCommand) Help() string {
	return `The file can be read by its owner alone. An existing file is not changed.

    pulse keys generate                        # the node's signing key, before its first start
    pulse keys generate --use enc xdr.jwk      # a recipient's key`
}

func (c *keysGenerateCommand) Run(e *env) error {
	if c.File != "" {
		k, err := keys.CreatePrivate(c.File, seal.Use(c.Use))
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(e.stdout, madeKey{Key: newShownKey(c.File, k, "")})
		}
		fmt.Fprintf(e.stdout, "%s: %v\n", c.File, k)
		return nil
	}
	if c.Use != string(seal.Signing) {
		return usageError{errors.New("--use enc: name the file to put it into")}
	}
	files, err := nodeFiles(e, &c.settingsFlag)
	if err != nil {
		return err
	}
	k, err := files.GenerateSigning()
	if errors.Is(err, fs.ErrNotExist) {
		return hint.Add(err, "make the directory first: install -d -o pulse -g pulse -m 0700 "+filepath.Dir(files.SigningPath()))
	}
	if err != nil {
		return addSystemHint(err)
	}
	if c.JSON {
		return printJSON(e.stdout, madeKey{newShownKey(files.SigningPath(), k, signsAfterRestart), files.PublicPath()})
	}
	fmt.Fprintf(e.stdout, "%s: %v\n%s: its public part\n", files.SigningPath(), k, files.PublicPath())
	return nil
}

func nodeFiles(e *env, f *settingsFlag) (*keys.Files, error) {
	loaded, err := f.loadSettings(e)
	if err != nil {
		return nil, err
	}
	files := sealing.KeyFiles(&loaded.Config)
	return &files, nil
}

type keysShowCommand struct {
	settingsFlag
	File string `arg:"" optional:"" type:"existingfile" placeholder:"FILE" help:"A JWK or JWKS. Default: the node's keys."`
	JSON bool   `help:"Print one JSON object."`
}

func (*keysShowCommand) Help() string {
	return `Without a file it shows the node's keys: the signing key, the public keys, and the recipients.

    pulse keys show
    pulse keys show recipients.jwks
    pulse keys show --json | jq -r '.keys[] | select(.state == "signs_now") | .id'`
}

// shownKey is a key, without its secret.
type shownKey struct {
	File        string   `json:"file"`
	ID          string   `json:"id"`
	Use         seal.Use `json:"use"`
	Private     bool     `json:"private"`
	Node        string   `json:"node,omitempty"`
	FormerNodes []string `json:"former_nodes,omitempty"`
	State       keyState `json:"state,omitempty"` // of a public key of the node, and of a recipient's

	key *seal.Key
}

// madeKey is a key that was made now.
type madeKey struct {
	Key        shownKey `json:"key"`
	PublicFile string   `json:"public_file,omitempty"` // that has its public part, if it is the node's
}

func newShownKey(file string, k *seal.Key, state keyState) shownKey {
	return shownKey{file, k.ID(), k.Use(), k.Private(), k.Node, k.FormerNodes, state, k}
}

// keyState is what a public key is for.
type keyState string

const (
	signsNow          keyState = "signs_now"
	signsUntilRestart keyState = "signs_until_restart"
	signsAfterRestart keyState = "signs_after_restart"
	formerKey         keyState = "former"
	recipientsKey     keyState = "recipient"
)

var keyStateTexts = map[keyState]string{signsNow: "signs now", signsUntilRestart: "signs now, until the next start",
	signsAfterRestart: "signs from the next start on", formerKey: "a former one", recipientsKey: "a recipient"}

func (c *keysShowCommand) Run(e *env) error {
	if c.File != "" {
		all, err := readAnyKeys(c.File)
		if err != nil {
			return err
		}
		shown := []shownKey{}
		for _, k := range all {
			shown = append(shown, newShownKey(c.File, k, ""))
		}
		return c.printKeys(e, shown)
	}
	loaded, err := c.loadSettings(e)
	if err != nil {
		return err
	}
	shown, err := listNodeKeys(loaded)
	if err != nil {
		return err
	}
	files := sealing.KeyFiles(&loaded.Config)
	if _, err := os.Stat(files.SigningPath()); !c.JSON && errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(e.stdout, "%s: does not exist yet; the first start makes it\n", files.SigningPath())
	}
	return c.printKeys(e, shown)
}

func (c *keysShowCommand) printKeys(e *env, shown []shownKey) error {
	if c.JSON {
		return printJSON(e.stdout, struct {
			Keys []shownKey `json:"keys"`
		}{shown})
	}
	for _, k := range shown {
		line := formatKey(k.key)
		if c.File == "" {
			line = k.File + ": " + line
		}
		if k.State != "" {
			line += ", " + keyStateTexts[k.State]
		}
		fmt.Fprintln(e.stdout, line)
	}
	return nil
}

// listNodeKeys returns the node's signing key, if there is one, its public keys, and with encryption those of the recipients.
func listNodeKeys(loaded *config.Loaded) ([]shownKey, error) {
	shown := []shownKey{}
	files := sealing.KeyFiles(&loaded.Config)
	present, err := keys.ReadPrivate(files.SigningPath())
	switch {
	case err == nil:
		shown = append(shown, newShownKey(files.SigningPath(), present, ""))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	public, err := files.ReadPublicKeys()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	signing := ""
	if daemon.Running(&loaded.Config) {
		signing = files.SignerID()
	}
	for _, k := range public {
		shown = append(shown, newShownKey(files.PublicPath(), k, findKeyState(k, present, signing)))
	}
	if !loaded.NATS.EncryptMessages {
		return shown, nil
	}
	to, err := sealing.ReadRecipients(&loaded.Config)
	if err != nil {
		return nil, err
	}
	for _, k := range to {
		shown = append(shown, newShownKey(loaded.NATS.RecipientsFile, k, recipientsKey))
	}
	return shown, nil
}

// findKeyState returns what a public key of the node is for. Signing is the ID of the key that a running node signs with,
// "" if none runs or it is not known.
func findKeyState(k, present *seal.Key, signing string) keyState {
	isNext := present != nil && k.Equal(present)
	switch {
	case signing != "" && k.ID() == signing && isNext:
		return signsNow
	case signing != "" && k.ID() == signing:
		return signsUntilRestart
	case isNext:
		return signsAfterRestart
	}
	return formerKey
}

func formatKey(k *seal.Key) string {
	text := k.String()
	if k.Node != "" {
		text += fmt.Sprintf(" of node %q", k.Node)
	}
	if len(k.FormerNodes) > 0 {
		text += fmt.Sprintf(", before %q", k.FormerNodes)
	}
	return text
}

// readAnyKeys reads public keys, or private keys if the file is private.
func readAnyKeys(path string) ([]*seal.Key, error) {
	all, err := keys.ReadPublic(path)
	if err == nil {
		return all, nil
	}
	if private, failed := keys.ReadPrivateSet(path); failed == nil {
		return private, nil
	}
	if one, failed := keys.ReadPrivate(path); failed == nil { // an NKey
		return []*seal.Key{one}, nil
	}
	return nil, err
}

type keysRotateCommand struct {
	settingsFlag
	Forget bool `help:"Drop the public keys from before the present one."`
	JSON   bool `help:"Print one JSON object."`
}

func (*keysRotateCommand) Help() string {
	return `The new key is public at once (in public.jwks, and on NATS if the node runs), and is used from the node's next start on, so that
those who verify can have it before; the old key stays public, so that both are valid meanwhile. A restart causes no events:

    pulse keys rotate
    pulse keys export > pulse-public.jwks      # copy it to the platform
    systemctl restart pulse`
}

func (c *keysRotateCommand) Run(e *env) error {
	files, err := nodeFiles(e, &c.settingsFlag)
	if err != nil {
		return err
	}
	k, err := files.RotateSigning(c.Forget)
	if err != nil {
		return addSystemHint(err)
	}
	if c.JSON {
		return printJSON(e.stdout, madeKey{newShownKey(files.SigningPath(), k, signsAfterRestart), files.PublicPath()})
	}
	fmt.Fprintf(e.stdout, "%s: %v\nNext: give the public keys to those who verify (pulse keys export), then restart Pulse, which uses the new key from then on and not before.\n",
		files.SigningPath(), k)
	return nil
}

type keysExportCommand struct {
	settingsFlag
	File string `arg:"" optional:"" type:"existingfile" placeholder:"FILE" help:"A private key, or a file with keys. Default: the node's."`
	Node string `placeholder:"NAME" help:"The keys as they are when the node has this name: give them to those who verify before you rename it."`
}

func (*keysExportCommand) Help() string {
	return `Prints a JWKS (RFC 7517) without any secret.

    pulse keys export > pulse-public.jwks
    pulse keys export --node west > pulse-public.jwks    # before this node is called west`
}

func (c *keysExportCommand) Run(e *env) error {
	var all []*seal.Key
	if c.File != "" && c.Node != "" {
		return usageError{errors.New("--node is for the node's own keys, and not for those of a file")}
	}
	if err := event.ValidNode(c.Node); c.Node != "" && err != nil {
		return usageError{fmt.Errorf("--node: %w", err)}
	}
	if c.File != "" {
		var err error
		if all, err = readAnyKeys(c.File); err != nil {
			return err
		}
	} else {
		files, err := nodeFiles(e, &c.settingsFlag)
		switch {
		case err != nil:
		case c.Node != "":
			all, err = files.PublicKeysOf(c.Node)
		default:
			all, err = files.ReadPublicKeys()
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = hint.Add(err, "pulse keys generate makes a key, and so does the daemon's first start")
		}
		if err != nil {
			return err
		}
	}
	text, err := seal.MarshalKeys(all...)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s\n", text)
	return nil
}
