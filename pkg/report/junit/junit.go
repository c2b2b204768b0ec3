// Package junit writes test results as JUnit XML, which CI systems read. It imports no other package of bgpguard.
package junit

import (
	"encoding/xml"
	"fmt"
	"io"
	"time"
)

// Suite is a group of test cases with their totals.
type Suite struct {
	Name     string `xml:"name,attr"`
	Tests    int    `xml:"tests,attr"`
	Failures int    `xml:"failures,attr"`
	Errors   int    `xml:"errors,attr"`
	Skipped  int    `xml:"skipped,attr"`
	// Time is in seconds, as Seconds formats it; "" if it was not measured.
	Time  string `xml:"time,attr,omitempty"`
	Cases []Case `xml:"testcase"`
}

// Case is one test. It passed if Failure, Error and Skipped are nil.
type Case struct {
	Class string `xml:"classname,attr"`
	Name  string `xml:"name,attr"`
	// File and Line are the position of the test; lines start at 1. "" and 0 if
	// there is none. GitLab links the file.
	File string `xml:"file,attr,omitempty"`
	Line int    `xml:"line,attr,omitempty"`
	// Time is in seconds, as Seconds formats it; "" if it was not measured.
	Time    string  `xml:"time,attr,omitempty"`
	Failure *Result `xml:"failure"`
	Error   *Result `xml:"error"`
	Skipped *Result `xml:"skipped"`
	// Output is what the test printed.
	Output string `xml:"system-out,omitempty"`
}

// Result is the reason why a test did not pass.
type Result struct {
	Type string `xml:"type,attr,omitempty"`
	// Message is the headline, Text the whole message.
	Message string `xml:"message,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// Add adds a case and counts it once: as failed, else as in error, else as skipped.
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

// Seconds formats a duration in seconds with three decimals, for Suite.Time and
// Case.Time.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// document is the root element.
type document struct {
	XMLName xml.Name `xml:"testsuites"`
	Suites  []Suite  `xml:"testsuite"`
}

// Write writes suites as a document. Characters that XML cannot represent become
// U+FFFD. It returns the error of w.
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
