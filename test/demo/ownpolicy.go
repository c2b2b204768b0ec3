package main

import "strings"

// own is a policy that a platform team writes.
const own = `apiVersion: policy.bgpguard.io/v1alpha1
kind: BGPPolicy
metadata:
  name: peers-have-owners
spec:
  validationActions: [Deny]
  match:
    kinds: [BGPPeer]
    operations: [CREATE]
  rego:
    modules:
    - name: peers_have_owners.rego
      text: |
        # METADATA
        # title: Every BGPPeer names its owner
        # custom:
        #   severity: low
        #   judges: change
        #   validationActions: [Deny]
        package policies.peers_have_owners

        violation contains {
          "id": "owner",
          "size": 1,
          "msg": "the BGPPeer names no owner: annotate it with example.com/owner",
        } if {
          not input.change.object.metadata.annotations["example.com/owner"]
        }
`

var ownPolicy = []scene{
	{"Your own policy is an object like any other. A policy that does not compile is rejected with file and line.", []step{
		{args: apply, input: strings.Replace(own, "input.change", "input.chnage", 1), rejected: "peers_have_owners.rego:14: rego_type_error: undefined ref: input.chnage"},
		{args: apply, input: own},
		{args: "wait bgppolicy peers-have-owners --for=condition=Enforced", prints: "condition met"},
		{args: apply, input: peer("rack-7", "  nodeSelector: rack == '7'\n  peerSelector: has(route-reflector)\n"), denied: "peers-have-owners"},
		{args: "get bgppolicies", prints: "peers-have-owners"},
	}},
	{"You can delete a policy. bgpguard warns and logs it.", []step{
		{args: "delete bgppolicy peers-have-owners", prints: "it no longer enforces policy peers-have-owners (Deny);"},
	}},
}
