package admission

import (
	"encoding/json"
	"net/http"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// reviewType is the type of the reviews that decodeReview decodes.
var reviewType = metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}

// decodeReview decodes a review as API servers send it. It returns nil if body is anything else, also if it is
// invalid: the handler of controller-runtime, which takes several times as long, then decodes it or says what is
// wrong with it.
func decodeReview(body []byte) *admissionv1.AdmissionRequest {
	var review admissionv1.AdmissionReview
	if err := jsonv2.Unmarshal(body, &review); err != nil || review.TypeMeta != reviewType {
		return nil
	}
	return review.Request
}

// writeReview writes the response to a review that decodeReview decoded.
func writeReview(w http.ResponseWriter, log logr.Logger, response *admission.Response) {
	review := admissionv1.AdmissionReview{TypeMeta: reviewType, Response: &response.AdmissionResponse}
	if err := json.NewEncoder(w).Encode(&review); err != nil { // The API server has closed the connection.
		log.Error(err, "Cannot write the response", "requestID", response.UID)
	}
}
