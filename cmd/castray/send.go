package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A request is what castray send was asked to send.
type request struct {
	event                     string
	file                      string
	patient, study, accession string
}

func (t *tool) sendCommand() *cobra.Command {
	var r request
	cmd := t.jsonFlag(&cobra.Command{
		Use:   "send EVENT",
		Short: "Ask the hub for a change of context, such as Patient-open",
		Long: `Asks the hub for a change of context. The context is read from a file or, with "--file -", from the standard input: the
JSON array of a FHIRcast event's context. On test hubs it may be said by arguments instead; elsewhere not, since other
programs can read the arguments of this one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.event = args[0]
			if r.file != "" && r.byArguments() {
				return usagef("Say the context by --file or by the other flags, not by both.")
			}
			return t.send(cmd.Context(), r)
		},
	})
	cmd.Flags().StringVar(&r.file, "file", "", "`FILE` with the context, - for the standard input")
	cmd.Flags().StringVar(&r.patient, "patient", "", "identifier of the patient as `SYSTEM|VALUE`; on test hubs only")
	cmd.Flags().StringVar(&r.study, "study", "", "DICOM `UID` of the study; on test hubs only")
	cmd.Flags().StringVar(&r.accession, "accession", "", "accession `NUMBER` of the study; on test hubs only")
	return cmd
}

func (r request) byArguments() bool { return r.patient != "" || r.study != "" || r.accession != "" }

func (t *tool) send(ctx context.Context, r request) error {
	params := protocol.SendParams{Event: r.event, Context: json.RawMessage("[]")}
	var err error
	switch {
	case r.byArguments():
		params.Context, err = r.context()
	case r.file != "":
		params.Context, err = t.readContext(r.file)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	c, err := t.control(ctx, "send", client.Options{})
	if err != nil {
		return err
	}
	defer hangUp(c)
	if r.byArguments() && !c.Hello().Status.Test {
		return failf(exitRefused, "This is no test hub, and other programs can read arguments: say the context by --file.")
	}
	var result json.RawMessage
	if err := c.Call(ctx, protocol.MethodSend, params, &result); err != nil {
		return err
	}
	return t.done(result, "The hub has accepted "+r.event+".")
}

// maxContext is more than any line that could carry it.
const maxContext = protocol.MaxLine

func (t *tool) readContext(file string) (json.RawMessage, error) {
	in := t.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("context: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxContext+1))
	if err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	var list []json.RawMessage
	if len(text) > maxContext || json.Unmarshal(text, &list) != nil || list == nil {
		return nil, usagef(`The context has to be a JSON array of at most 6 MiB, such as [{"key":"patient","resource":{...}}].`)
	}
	return text, nil
}

type identifier struct {
	Type   *concept `json:"type,omitempty"`
	System string   `json:"system,omitempty"`
	Value  string   `json:"value"`
}

type concept struct {
	Coding []coding `json:"coding"`
}

type coding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

type resource struct {
	ResourceType string       `json:"resourceType"`
	ID           string       `json:"id"`
	Identifier   []identifier `json:"identifier"`
	Status       string       `json:"status,omitempty"`
	Subject      *reference   `json:"subject,omitempty"`
}

type reference struct {
	Reference string `json:"reference"`
}

type item struct {
	Key      string   `json:"key"`
	Resource resource `json:"resource"`
}

// context is what the arguments say, as a FHIRcast context.
func (r request) context() (json.RawMessage, error) {
	var items []item
	var subject *reference
	if r.patient != "" {
		system, value, ok := strings.Cut(r.patient, "|")
		if !ok || system == "" || value == "" {
			return nil, usagef("--patient wants SYSTEM|VALUE, such as urn:oid:1.2.3|4711.")
		}
		p := withID("Patient", identifier{System: system, Value: value})
		subject = &reference{"Patient/" + p.ID}
		items = append(items, item{fhircast.Key("Patient"), p})
	}
	var study []identifier
	if r.study != "" {
		study = append(study, identifier{System: "urn:dicom:uid", Value: "urn:oid:" + strings.TrimPrefix(r.study, "urn:oid:")})
	}
	if r.accession != "" {
		study = append(study, identifier{Type: &concept{[]coding{{"http://terminology.hl7.org/CodeSystem/v2-0203", "ACSN"}}}, Value: r.accession})
	}
	if len(study) > 0 {
		s := withID("ImagingStudy", study...)
		s.Status, s.Subject = "available", subject
		items = append(items, item{fhircast.Key("ImagingStudy"), s})
	}
	return json.Marshal(items)
}

// withID makes a resource with the id that FHIRcast 3.0.0 wants. There is no server behind a test's arguments to know it,
// so it is made from the identifiers, for a close to name what the open named.
func withID(resourceType string, identifiers ...identifier) resource {
	sum := sha256.New()
	for _, i := range identifiers {
		fmt.Fprintf(sum, "%q %q ", i.System, i.Value)
	}
	return resource{ResourceType: resourceType, ID: "test-" + hex.EncodeToString(sum.Sum(nil)[:8]), Identifier: identifiers}
}
