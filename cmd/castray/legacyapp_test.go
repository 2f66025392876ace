package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
)

// legacyApp is a native app as a vendor would write it in an afternoon: it knows lines of JSON and nothing of ours. It
// prints what it is told and ends when the agent does.
func legacyApp(args []string) int {
	flags := flag.NewFlagSet("legacyapp", flag.ExitOnError)
	name := flags.String("name", "legacyapp", "name in hello")
	answer := flags.Int("answer", 200, "to each event")
	reason := flags.String("reason", "", "why that answer")
	say := flags.String("say", "", "a last line without an end, after hello; then hang up")
	_ = flags.Parse(args)
	pipe, err := dialRaw(os.Getenv("CASTRAY_SOCKET"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer pipe.Close()
	fmt.Fprintf(pipe, `{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1,"name":%q,"answers":true}}`+"\r\n", *name)
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var m struct {
			ID     json.RawMessage
			Method string
			Params struct {
				Reason string
				Event  struct {
					Name string `json:"hub.event"`
				}
			}
			Error json.RawMessage
		}
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			fmt.Println("no JSON")
			return 1
		}
		switch {
		case m.Method == "event":
			fmt.Println(m.Params.Event.Name)
			fmt.Fprintf(pipe, `{"jsonrpc":"2.0","id":%s,"result":{"status":%d,"reason":%q}}`+"\n", m.ID, *answer, *reason)
		case m.Method == "clear":
			fmt.Println("clear", m.Params.Reason)
			fmt.Fprintf(pipe, `{"jsonrpc":"2.0","id":%s,"result":{"status":200}}`+"\n", m.ID)
		case len(m.Error) > 0:
			fmt.Println("refused", string(m.Error))
		case string(m.ID) == "1" && *say != "":
			fmt.Fprint(pipe, *say)
			return 0
		}
	}
	return 0
}

func dialRaw(address string) (io.ReadWriteCloser, error) {
	if runtime.GOOS == "windows" && strings.HasPrefix(address, `\\`) {
		return os.OpenFile(address, os.O_RDWR, 0)
	}
	return net.Dial("unix", address)
}
