// Package schema finds what an API server rejects in an object, before anybody sends it: wrong
// types, values that the schema does not list, broken CEL rules and malformed metadata. It also
// finds fields that the schema does not have, which the API server drops.
//
// Calico's objects are validated by the same code as in an API server, in the same order
// (k8s.io/apiextensions-apiserver/pkg/registry/customresource/strategy.go): unknown fields are
// pruned, defaults are set, then come metadata, schema, list types, and CEL rules unless an
// earlier error blocks them. An update does not repeat errors in values that it does not change
// (KEP-4008, ratcheting).
//
// The package embeds the CustomResourceDefinitions of Calico v3.32, in crds.json.gz. `make
// generate` writes the file: controller-gen generates the schemas from Calico's Go types, and
// test/crds/newest.go adds what Calico v3.32 has and these types do not. The definitions of
// crd.projectcalico.org/v1 have the same schemas, but require no spec.
//
// # Which clients meet which check
//
// kubectl apply and kubectl create ask for strict field validation (--validate=strict is their
// default): the API server then answers a field that the schema does not have with "strict
// decoding error: unknown field", for a create and for a patch. Clients that do not ask for it,
// such as most controllers, get the object stored without the field. In a definition with
// preserveUnknownFields the field is stored, and nobody complains.
//
// "format: int32" is enforced: the API server rejects an AS number above 2147483647 in a
// definition whose asNumber has this format. test/e2e compares both with a real API server.
package schema
