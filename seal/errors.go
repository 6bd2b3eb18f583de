package seal

import "errors"

// The errors of [Opener.Open] and of the other functions of this package wrap one of
// these.
var (
	// ErrUnsigned is a message without a signature.
	ErrUnsigned = errors.New("seal: message not signed")
	// ErrMalformed is what cannot be parsed: a signature or JSON that is not well-formed,
	// an object with a name twice, a field of the wrong type.
	ErrMalformed = errors.New("seal: malformed message")
	// ErrForbiddenHeader is a signature or envelope whose header asks for something
	// that Pulse's never do, such as another algorithm, or a key that it brings along.
	ErrForbiddenHeader = errors.New("seal: forbidden header")
	// ErrUnknownKey is a signature by a key that is not among those trusted.
	ErrUnknownKey = errors.New("seal: unknown signing key")
	// ErrBadSignature is a signature that does not match the message.
	ErrBadSignature = errors.New("seal: invalid signature")
	// ErrWrongNode is a message that names another node than the one its key belongs to.
	ErrWrongNode = errors.New("seal: signed with the key of another node")
	// ErrWrongSubject is a message that arrived on another subject than it was published to.
	ErrWrongSubject = errors.New("seal: published to another subject")
	// ErrWrongAnswer is a signed message that does not answer this question.
	ErrWrongAnswer = errors.New("seal: not the answer to this question")
	// ErrReplayed is a message that was accepted before, or is older than the guard's
	// window, or of an epoch that is over.
	ErrReplayed = errors.New("seal: message replayed")
	// ErrStale is a message that is older than the guard allows.
	ErrStale = errors.New("seal: message expired")
	// ErrFuture is a message whose time or epoch is in the future.
	ErrFuture = errors.New("seal: message from the future")
	// ErrEncrypted is an encrypted message where there is no key to decrypt it with.
	ErrEncrypted = errors.New("seal: message encrypted, and no decryption key")
	// ErrNotEncrypted is a message in the clear where encryption is required.
	ErrNotEncrypted = errors.New("seal: message not encrypted")
	// ErrNotRecipient is an envelope for other recipients.
	ErrNotRecipient = errors.New("seal: not a recipient")
	// ErrUndecryptable is an envelope for this recipient that cannot be decrypted.
	ErrUndecryptable = errors.New("seal: decryption failed")
	// ErrTooManyNodes is a node more than a guard remembers.
	ErrTooManyNodes = errors.New("seal: too many nodes")
)
