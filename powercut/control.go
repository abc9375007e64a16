package powercut

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
)

// The commands are HTTP requests with JSON both ways; a failed one is answered with a failure.
type failure struct {
	Fault Fault  `json:"fault"`
	Error string `json:"error"`
}

type (
	removeCommand   struct{ Name string }
	startLogCommand struct {
		File  string
		Names []string
	}
	cutCommand     struct{ Class string }
	restoreCommand struct{ Seed uint64 }
)

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	handle(mux, "create", func(c ImageSpec) (string, error) { return s.create(c) })
	handle(mux, "remove", func(c removeCommand) (struct{}, error) { return struct{}{}, s.remove(c.Name) })
	handle(mux, "start-log", func(c startLogCommand) (struct{}, error) { return struct{}{}, s.startLog(c.File, c.Names) })
	handle(mux, "stop-log", func(struct{}) (LogInfo, error) { return s.stopLog() })
	handle(mux, "cut", func(c cutCommand) (int64, error) { return s.cut(c.Class) })
	handle(mux, "restore", func(c restoreCommand) (map[string]string, error) { return s.restore(c.Seed) })
	handle(mux, "status", func(struct{}) (Status, error) { return s.status(), nil })
	return mux
}

func handle[In, Out any](mux *http.ServeMux, name string, do func(In) (Out, error)) {
	mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		var answer any
		err := json.NewDecoder(r.Body).Decode(&in)
		if err == nil {
			answer, err = do(in)
		}
		if err != nil {
			f := failure{Rig, err.Error()}
			var e *Error
			if errors.As(err, &e) {
				f.Fault = e.Fault
			}
			w.WriteHeader(http.StatusConflict)
			answer = f
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
}

// Client speaks to a running server. Its methods may be called from several goroutines; their errors are *Error.
type Client struct {
	mount, state string
	http         http.Client
}

func newClient(mount, state string) *Client {
	c := &Client{mount: mount, state: state}
	c.http.Transport = &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return dialSocket(state) },
		DisableKeepAlives: true,
	}
	return c
}

// Dial returns a client of the server at a mount point.
func Dial(mount string) (*Client, error) {
	mount = resolved(mount)
	m, ok := mountedAt(mount)
	if !ok || m.state == "" {
		return nil, usage("%s: no powercut disk is mounted there: platter powercut mount %s --size 1GiB", mount, mount)
	}
	conn, err := dialSocket(m.state)
	if err != nil {
		return nil, rig("%s: the server of the powercut disk there is dead: umount -l %s: %w", mount, mount, err)
	}
	conn.Close()
	return newClient(mount, m.state), nil
}

func (c *Client) do(ctx context.Context, command string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://powercut/"+command, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("powercut %s at %s: %w", command, c.mount, ctx.Err())
		}
		return rig("powercut %s: the server at %s does not answer: %w", command, c.mount, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(answer.Body).Decode(&f); err != nil {
			return rig("powercut %s: the server at %s answers %s: %w", command, c.mount, answer.Status, err)
		}
		return &Error{f.Fault, errors.New(f.Error)}
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		return rig("powercut %s: the answer of the server at %s: %w", command, c.mount, err)
	}
	return nil
}

// Create makes an image and returns its path below the mount point.
func (c *Client) Create(ctx context.Context, spec ImageSpec) (path string, err error) {
	if spec.From != "" {
		if spec.From, err = filepath.Abs(spec.From); err != nil {
			return "", usage("image %s: %w", spec.Name, err)
		}
	}
	err = c.do(ctx, "create", spec, &path)
	return path, err
}

// Remove takes an image away; who has it open gets EIO.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.do(ctx, "remove", removeCommand{name}, new(struct{}))
}

// StartLog begins a log in a file. The images get the numbers 0, 1, … in this order; without names all images get them in the order
// of their making. Everything that they hold counts as on the medium now: their layers are synced first.
func (c *Client) StartLog(ctx context.Context, file string, names ...string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return usage("start log: %w", err)
	}
	return c.do(ctx, "start-log", startLogCommand{file, names}, new(struct{}))
}

// StopLog ends the log; after a cut it must be called too. An error means that the log is not whole.
func (c *Client) StopLog(ctx context.Context) (LogInfo, error) {
	var info LogInfo
	err := c.do(ctx, "stop-log", struct{}{}, &info)
	return info, err
}

// Cut crashes all images at once, by the class cell.HostCrash or cell.PowerLoss. It returns how many events the log has with the Cut,
// 0 without a log; the crash point of what survives is the one before the Cut.
func (c *Client) Cut(ctx context.Context, class string) (point int64, err error) {
	err = c.do(ctx, "cut", cutCommand{class}, &point)
	return point, err
}

// Restore serves what survived the cut and returns the survivors' names by those of the generation that was cut. New opens
// of the first generation's name lead to the newest survivor too. With the seed 0 all is lost that was not durable; with another
// one each sector of it survives by oplog's dice.
func (c *Client) Restore(ctx context.Context, seed uint64) (names map[string]string, err error) {
	err = c.do(ctx, "restore", restoreCommand{seed}, &names)
	return names, err
}

// Status returns what the server serves and what was asked of it.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.do(ctx, "status", struct{}{}, &s)
	return s, err
}
