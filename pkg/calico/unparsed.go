package calico

import "fmt"

// Unparsed takes the place of an object that exists and does not parse. What the object
// means is not known.
type Unparsed struct {
	id ID
	// Message says what does not parse.
	Message string
}

// NewUnparsed returns the Unparsed for an object that Decode returned err for.
func NewUnparsed(id ID, err error) *Unparsed { return &Unparsed{id: id, Message: err.Error()} }

// ID returns the object's kind and name.
func (u *Unparsed) ID() ID { return u.id }

// Problems returns nil.
func (u *Unparsed) Problems() []Problem { return nil }

// String returns "Kind name (message)".
func (u *Unparsed) String() string { return fmt.Sprintf("%s (%s)", u.id, u.Message) }

// IsUnparsed reports whether o is an *Unparsed.
func IsUnparsed(o Object) bool {
	_, ok := o.(*Unparsed)
	return ok
}
