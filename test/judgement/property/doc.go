// Package property holds property tests of decisions on random states. A cluster without
// faults is broken by random faults, and the decisions on changes of this cluster must have
// the properties that bgpguard promises: a repair is never denied, no order matters, and
// pending changes and the live state are decided as a naive decision decides them.
package property
