// Package junit writes what became of tests as the XML that CI systems read. It
// is a leaf.
package junit

import (
	"encoding/xml"
	"fmt"
	"io"
	"time"
)

// Suite is test cases that belong together, and how many there are of each kind.
type Suite struct {
	Name     string `xml:"name,attr"`
	Tests    int    `xml:"tests,attr"`
	Failures int    `xml:"failures,attr"`
	Errors   int    `xml:"errors,attr"`
	Skipped  int    `xml:"skipped,attr"`
	// Time is in seconds, as Seconds writes them; "" where it was not measured.
	Time  string `xml:"time,attr,omitempty"`
	Cases []Case `xml:"testcase"`
}

// Case is a test. It passed where it has none of Failure, Error and Skipped.
type Case struct {
	Class string `xml:"classname,attr"`
	Name  string `xml:"name,attr"`
	// File and Line, from 1, are where it stands; "" and 0 for nowhere.
	File string `xml:"file,attr,omitempty"`
	Line int    `xml:"line,attr,omitempty"`
	// Time is in seconds, as Seconds writes them; "" where it was not measured.
	Time    string  `xml:"time,attr,omitempty"`
	Failure *Result `xml:"failure"`
	Error   *Result `xml:"error"`
	Skipped *Result `xml:"skipped"`
	// Output is what the test printed.
	Output string `xml:"system-out,omitempty"`
}

// Result says why a test did not pass.
type Result struct {
	Type string `xml:"type,attr,omitempty"`
	// Message is the headline, Text all there is to say.
	Message string `xml:"message,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// Add adds a case and counts it: as the first of a failure, an error and one that
// was passed over that it has.
func (s *Suite) Add(c Case) {
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

// Seconds writes a duration as seconds with three decimals, as Suite.Time and
// Case.Time hold it.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// document is the root element.
type document struct {
	XMLName xml.Name `xml:"testsuites"`
	Suites  []Suite  `xml:"testsuite"`
}

// Write writes suites as a document. Characters that XML has no form for become
// U+FFFD. An error is that of w.
func Write(w io.Writer, suites ...Suite) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(document{Suites: suites}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
