package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// JSON-RPC's own codes, and ours.
const (
	CodeParse          = -32700 // the line is not JSON
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603

	CodeVersion        = -32001 // another protocol version
	CodeHelloFirst     = -32002 // say hello first
	CodeContextUnknown = -32003
	CodeSigninNeeded   = -32004
	CodeRefused        = -32005 // by the hub; ErrorData.Status
	CodeNotGranted     = -32006 // the sign-in did not grant the scope
	CodeNotAllowed     = -32007 // policy, or no key
	CodeTooLate        = -32008 // too old or too late
	CodeBusy           = -32009 // a limit
	CodeNotConnected   = -32010 // paused or not connected; ErrorData.Unknown when it may have been taken all the same
)

// Error is a JSON-RPC error. Message is one sentence that a developer can act on, without patient data, when we wrote
// it; one that an app wrote may hold anything and belongs in no log.
type Error struct {
	Code    int        `json:"code"`
	Message string     `json:"message"`
	Data    *ErrorData `json:"data,omitempty"`
}

// ErrorData is what a program decides by beyond the code.
type ErrorData struct {
	Status  int  `json:"status,omitempty"`  // the hub's, with CodeRefused
	Unknown bool `json:"unknown,omitempty"` // the answer was lost; send again with the same id to learn
}

// Error is the message and the code.
func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// UnmarshalJSON takes data of another shape as none: JSON-RPC lets an app put there what it likes.
func (e *Error) UnmarshalJSON(b []byte) error {
	var in struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*e = Error{Code: in.Code, Message: in.Message}
	var d *ErrorData
	if json.Unmarshal(in.Data, &d) == nil {
		e.Data = d
	}
	return nil
}

// Decode reads the params of a request into a struct. Unknown members are ignored and absent params are an empty
// object; anything of the wrong type is an *Error with CodeInvalidParams that names the member and never its value.
func Decode(params json.RawMessage, into any) error {
	p := bytes.TrimSpace(params)
	if len(p) == 0 || string(p) == "null" {
		return nil
	}
	if p[0] != '{' {
		return &Error{Code: CodeInvalidParams, Message: "params must be an object with named members"}
	}
	err := json.Unmarshal(p, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		// Value may go on with the number itself, which could be a patient's.
		kind, _, _ := strings.Cut(wrong.Value, " ")
		return &Error{Code: CodeInvalidParams, Message: fmt.Sprintf("params member %q must not be of type %s", wrong.Field, kind)}
	}
	return &Error{Code: CodeInvalidParams, Message: "params are not valid JSON"}
}

// The most a name and a list of events may have; both go to menus, rows and the hub.
const (
	maxName   = 64
	maxEvents = 256
)

// Check judges a hello by its shape: the version (CodeVersion), a printable name of 1 to 64 bytes without '#', which
// tells equal names apart in ids, and at most 256 events (CodeInvalidParams). The error is an *Error.
func (h Hello) Check() error {
	if h.Protocol != Version {
		return &Error{Code: CodeVersion, Message: fmt.Sprintf(
			"this agent speaks local protocol %d and the app asked for %d: update the older of the two", Version, h.Protocol)}
	}
	printable := strings.IndexFunc(h.Name+h.Version, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0
	if h.Name == "" || len(h.Name) > maxName || len(h.Version) > maxName || !printable || strings.Contains(h.Name, "#") {
		return &Error{Code: CodeInvalidParams, Message: "name in hello must be 1 to 64 printable bytes without '#', version at most 64"}
	}
	if len(h.Events) > maxEvents {
		return &Error{Code: CodeInvalidParams, Message: "events in hello may name at most 256 events"}
	}
	return nil
}
