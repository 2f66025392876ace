package ipc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/castray/castray/ipc/protocol"
)

// maxKeys is more than castray.json can have.
const maxKeys = 4 << 10

// WriteKeys writes castray.json for the agent at an address: in the run folder, or beside the socket when that is
// elsewhere; of a Windows pipe with another name pipe-<name>.json in the run folder. The file is 0600. A reader finds
// the old file or the whole new one, whatever happens, and after an error the old one.
func WriteKeys(address string, k protocol.Keys) error {
	path, err := keysFile(address)
	if err != nil {
		return fmt.Errorf("write the keys: %w", err)
	}
	body, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("write the keys: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), keysName+".*") // 0600 from birth
	if err != nil {
		return fmt.Errorf("write the keys: %w", err)
	}
	_, err = f.Write(append(body, '\n'))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write the keys: %w", err)
	}
	return nil
}

// RemoveKeys removes what WriteKeys wrote for that agent, if it still has these keys. An agent calls it before it gives
// its address back.
func RemoveKeys(address string, k protocol.Keys) error {
	if there, err := ReadKeys(address); err != nil || there.Key != k.Key {
		return nil // gone, or another agent's
	}
	path, err := keysFile(address)
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("remove the keys: %w", err)
	}
	return nil
}

// ReadKeys reads what WriteKeys wrote. errors.Is(err, fs.ErrNotExist) holds when there is no file; a file that is
// another user's, or that others may open, is refused. The address of a WebSocket does not say where the keys are: they
// are those of the agent at DefaultAddress, if it has that port.
func ReadKeys(address string) (protocol.Keys, error) {
	if isWebSocket(address) {
		return webKeys(address)
	}
	path, err := keysFile(address)
	if err != nil {
		return protocol.Keys{}, fmt.Errorf("read the keys: %w", err)
	}
	f, err := openKeys(path)
	if err != nil {
		return protocol.Keys{}, fmt.Errorf("read the keys: %w", err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxKeys))
	if err != nil {
		return protocol.Keys{}, fmt.Errorf("read the keys: %w", err)
	}
	var k protocol.Keys
	if json.Unmarshal(body, &k) != nil || k.Key == "" {
		return protocol.Keys{}, errors.New("read the keys: the file is damaged: restart the agent, which writes it anew")
	}
	return k, nil
}

func webKeys(address string) (protocol.Keys, error) {
	port, err := webPort(address)
	if err != nil {
		return protocol.Keys{}, fmt.Errorf("read the keys: %w", err)
	}
	standard, err := DefaultAddress()
	if err != nil {
		return protocol.Keys{}, fmt.Errorf("read the keys: %w", err)
	}
	k, err := ReadKeys(standard)
	if err == nil && k.Port != port {
		return protocol.Keys{}, fmt.Errorf("read the keys: the agent has no WebSocket at this port: %w", fs.ErrNotExist)
	}
	return k, err
}
