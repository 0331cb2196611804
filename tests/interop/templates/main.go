// What Go's text/template says of templates over Kubernetes' own types: reads the cases on standard
// input and writes them with Go's results, as they stand in crates/kubernetes/src/template/tests/go.json:
//
//	go run . < ../../../crates/kubernetes/src/template/tests/go.json
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"text/template"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type data struct {
	TrustDomain, ClusterName, ClusterDomain string
	PodMeta                                 *metav1.ObjectMeta
	PodSpec                                 *corev1.PodSpec
	NodeMeta                                *metav1.ObjectMeta
	NodeSpec                                *corev1.NodeSpec
}

func main() {
	var in struct {
		Pod       corev1.Pod
		Node      corev1.Node
		Templates []struct{ Template string }
	}
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		panic(err)
	}
	d := &data{"example.org", "demo", "cluster.local", &in.Pod.ObjectMeta, &in.Pod.Spec, &in.Node.ObjectMeta, &in.Node.Spec}
	out := []any{}
	for _, one := range in.Templates {
		text := one.Template
		r := map[string]any{"template": text}
		t, err := template.New("t").Parse(text)
		if err == nil {
			var b bytes.Buffer
			if err = t.Execute(&b, d); err == nil {
				r["text"] = b.String()
			}
		}
		if err != nil {
			r["error"] = err.Error()
		}
		out = append(out, r)
	}
	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	e.Encode(out)
}
