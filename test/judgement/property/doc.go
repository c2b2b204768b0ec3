// Package property holds property tests of decisions on random states. A cluster without
// faults is broken by random faults, and the decisions on changes of this cluster must have
// the properties that bgpguard promises: a repair is never denied, and no order matters.
package property
