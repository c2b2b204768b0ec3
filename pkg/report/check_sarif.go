package report

import (
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// The used part of SARIF 2.1.0 (OASIS, section 3 of the specification).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool struct {
			Driver sarifDriver `json:"driver"`
		} `json:"tool"`
		Automation  *sarifAutomation  `json:"automationDetails,omitempty"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifAutomation struct {
		ID string `json:"id"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool                `json:"executionSuccessful"`
		Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string       `json:"level"`
		Message sarifMessage `json:"message"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID                   string         `json:"id"`
		Name                 string         `json:"name"`
		ShortDescription     sarifMessage   `json:"shortDescription"`
		FullDescription      sarifMessage   `json:"fullDescription"`
		Help                 sarifMessage   `json:"help"`
		HelpURI              string         `json:"helpUri,omitempty"`
		DefaultConfiguration sarifLevel     `json:"defaultConfiguration"`
		Properties           map[string]any `json:"properties,omitempty"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifMessage      `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints,omitempty"`
		State        string            `json:"baselineState,omitempty"`
		Properties   map[string]any    `json:"properties"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations"`
	}
	sarifPhysical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region struct {
			StartLine int `json:"startLine"`
		} `json:"region"`
	}
	sarifLogical struct {
		Name string `json:"name"`
		Full string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
)

const (
	sarifSchema  = "https://json.schemastore.org/sarif-2.1.0.json"
	sarifVersion = "2.1.0"
)

const homepage = "https://github.com/bgpguard/bgpguard"

// sarifLevels are the levels of rules by their severity.
var sarifLevels = map[string]string{"critical": "error", "high": "error", "medium": "warning", "low": "note"}

// sarifResultLevels are the levels of results by action: a denial is an error for every
// severity of the rule.
var sarifResultLevels = map[violation.Action]string{violation.Deny: "error", violation.Warn: "warning", violation.Audit: "note"}

// escapeSARIF doubles braces, which delimit placeholders (3.11.5), and prevents
// "[text](target)" from becoming a link, which it would be even in plain text (3.11.6).
var escapeSARIF = strings.NewReplacer("{", "{{", "}", "}}", "](", "] (")

func sarifText(s string) sarifMessage { return sarifMessage{escapeSARIF.Replace(s)} }

func writeCheckSARIF(w io.Writer, c *Check) error {
	run := sarifRun{Invocations: []sarifInvocation{{ExecutionSuccessful: true}}, Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "bgpguard", Version: c.Version, InformationURI: homepage}
	for _, p := range c.Policies {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(p.Name, p.Definition))
	}
	run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(problemRule, &policy.Definition{
		Name: "calico-problem", Title: "Calico ignores or rejects a setting", Severity: "medium",
		Description: "The API server accepts the setting. Calico ignores or rejects it and only logs that.",
	}))
	names := c.ruleNames()
	for i := range c.Changes {
		change := &c.Changes[i]
		if line := change.notice(); line != "" {
			run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, sarifNotification{"note", sarifText(change.what() + ": " + clean(line))})
		}
		for _, f := range c.findings(change) {
			if f.failed {
				run.Invocations[0].ExecutionSuccessful = false
			}
			properties := map[string]any{"action": f.action, "operation": change.Change.Operation(), "allowed": change.Decision.Allowed}
			if len(f.nodes) > 0 {
				properties["nodes"] = f.nodes
			}
			run.Results = append(run.Results, sarifResult{
				RuleID: f.rule, RuleIndex: slices.Index(names, f.rule), Level: sarifResultLevels[f.action],
				Message:    sarifText(change.what() + ": " + change.text(f)),
				Locations:  []sarifLocation{sarifLocationOf(change, change.line(&f))},
				Properties: properties,
			})
		}
	}
	return text.JSON(w, sarifLog{sarifSchema, sarifVersion, []sarifRun{run}})
}

func sarifRuleOf(name string, of *policy.Definition) sarifRule {
	out := sarifRule{
		ID: name, Name: of.Name, ShortDescription: sarifText(of.Title), FullDescription: sarifText(strings.TrimSpace(of.Description)),
		DefaultConfiguration: sarifLevel{sarifLevels[of.Severity]}, Properties: map[string]any{"severity": of.Severity},
	}
	if out.FullDescription.Text == "" { // SARIF has no empty texts.
		out.FullDescription = out.ShortDescription
	}
	out.Help = out.FullDescription
	for i, l := range of.Related {
		if i == 0 {
			out.HelpURI = l.Ref
		}
		out.Help.Text += "\n" + escapeSARIF.Replace(strings.TrimSpace(l.Description+" "+l.Ref))
	}
	return out
}

func sarifLocationOf(c *Checked, line int) sarifLocation {
	id := c.Change.ID()
	out := sarifLocation{Logical: []sarifLogical{{Name: id.Name, Full: string(id.Kind) + "/" + id.Name, Kind: "resource"}}}
	if c.Source.File != "" {
		out.Physical = &sarifPhysical{}
		out.Physical.Artifact.URI = fileURI(c.Source.File)
		out.Physical.Region.StartLine = line
	}
	return out
}

// fileURI returns a path as a URI, relative if the path is.
func fileURI(path string) string {
	u := url.URL{Path: filepath.ToSlash(path)}
	if filepath.IsAbs(path) {
		u.Scheme = "file"
	}
	return u.String()
}
