package calico

import "fmt"

// Unparsed takes the place of an object that exists and does not parse. What the object
// means is not known, unless Calico skips it.
type Unparsed struct {
	id ID
	// Message says what does not parse.
	Message string

	skipped FieldError // why Calico skips the object, the zero FieldError if it does not
}

// NewUnparsed returns the Unparsed for an object that Decode returned err for.
func NewUnparsed(id ID, err error) *Unparsed { return &Unparsed{id: id, Message: err.Error()} }

// Skipped reports whether Calico skips the object, as if it did not exist.
func (u *Unparsed) Skipped() bool { return u.skipped != FieldError{} }

func (u *Unparsed) oddValues() []FieldError {
	if u.Skipped() {
		return []FieldError{u.skipped}
	}
	return nil
}

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
