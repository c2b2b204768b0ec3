package server

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/pkg/admission"
	"github.com/bgpguard/bgpguard/pkg/auditor"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// recordWith returns a function that records overridden denials for audits, and as uses of
// BGPExceptions.
func recordWith(exemptions *auditor.Exemptions, exceptions *enforce.Exceptions) admission.Record {
	return func(object corev1.ObjectReference, user string, overrides []validate.Override) {
		exemptions.Record(object, user, overrides)
		for _, o := range overrides {
			if o.Exception != nil {
				exceptions.Use(o.Exception, user)
			}
		}
	}
}
