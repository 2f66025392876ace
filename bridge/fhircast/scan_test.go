package fhircast

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// scans tells whether the scanner takes text as one JSON value.
func scans(text []byte) bool {
	s := scanner{text: text}
	if _, err := s.value(); err != nil {
		return false
	}
	s.kind()
	return s.at == len(text)
}

// twentyNames is an object with so many names that they are kept in a map, and one more.
func twentyNames(last string) string {
	var b strings.Builder
	for i := range 20 {
		fmt.Fprintf(&b, `"n%d":%d,`, i, i)
	}
	return "{" + b.String() + `"` + last + `":{}}`
}

var hardTexts = []string{
	`{}`, `[]`, `{"a":[{},[],"",0,-0,1.5e-7,1E+2,true,false,null]}`, " {\n\"a\"\t:\r1 } ", `"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00 é 😀"`,
	`{"a":1,"b":{"a":1}}`, `{"a":{"b":1},"b":2}`, twentyNames("n20"), strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
	// and none of these:
	``, ` `, `{`, `}`, `[`, `]`, `{]`, `[}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `[1,]`, `[,]`, `[1 2]`, `{"a":1 "b":2}`, `{a:1}`, `{1:1}`, `{"a" 1}`,
	`{}{}`, `{} x`, `tru`, `nulls`, `TRUE`, `01`, `-`, `+1`, `1.`, `.5`, `1e`, `1e+`, `0x1`, `NaN`, `"`, `"\"`, `"\x"`, `"\u12"`, `"\u12G4"`,
	`"\ud83d"`, `"\ud83dx"`, `"\ud83d\n"`, `"\ud83d\u0041"`, `"\ude00\ud83d"`, "\"\n\"", "\"\x00\"", "\"\x7f\"", "\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xc0\xaf\"",
	"\ufeff{}", "{}\x00", "\u00a0{}", `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"é":1,"\u00e9":2}`, `{"":1,"":2}`, `[{"a":1,"b":{},"a":1}]`, twentyNames("n3"), twentyNames("\\u006e19"),
	strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001), strings.Repeat(`{"a":`, 10_001) + "1" + strings.Repeat("}", 10_001),
}

// FC-GEN-07: what is JSON is decided by one strict rule, and the scanner is not to have another than the library.
func TestScannerTakesWhatTheLibraryTakes(t *testing.T) {
	for _, text := range hardTexts {
		if got, want := scans([]byte(text)), jsontext.Value(text).IsValid(); got != want {
			t.Errorf("%.60q: taken %v, by the library %v", text, got, want)
		}
	}
}

func FuzzScanner(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("testdata", "examples", "*", "*.json*"))
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil {
			f.Add(b)
		}
	}
	for _, text := range hardTexts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, want := scans(text), jsontext.Value(text).IsValid(); got != want {
			t.Fatalf("taken %v, by the library %v", got, want)
		}
	})
}
