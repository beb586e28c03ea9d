package jobs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sr3-go/sr3/internal/philox"
)

// The environment of a test binary that plays another process.
const (
	envRole = "SR3_JOBS_ROLE" // "server": submits and works; "worker": works
	envDir  = "SR3_JOBS_DIR"
	envURL  = "SR3_JOBS_URL"
	envName = "SR3_JOBS_NAME"
	envWant = "SR3_JOBS_WANT" // how many jobs there are to be in all
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(envRole) {
	case "server":
		err = playServer()
	case "worker":
		err = playWorker()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func crashOptions() Options {
	return Options{Dir: os.Getenv(envDir), URL: os.Getenv(envURL), Lease: 500 * time.Millisecond, Backoff: 10 * time.Millisecond,
		Losses: 1000, Keep: time.Hour, MaxBytes: 256 << 20, Logger: testLogger()}
}

// slowEcho takes a while and stores its results piecemeal, so that it can die between.
func slowEcho(ctx context.Context, t *Task) error {
	time.Sleep(30 * time.Millisecond)
	if err := echo(ctx, t); err != nil {
		return err
	}
	time.Sleep(10 * time.Millisecond)
	return nil
}

// playServer keeps jobs coming, says which were accepted, and works, until it is killed.
func playServer() error {
	q, err := Open(context.Background(), crashOptions())
	if err != nil {
		return err
	}
	fmt.Println("ready")
	var wg sync.WaitGroup
	wg.Go(func() { _ = q.Work(context.Background(), Worker{Name: "child", Parallel: 2, Do: slowEcho}) })
	wants, _ := strconv.Atoi(os.Getenv(envWant))
	for i := range wants {
		r := request(i)
		if i%2 == 0 { // half of the requests can be repeated
			r.IdempotencyKey = fmt.Sprint("key ", i)
		}
		j, _, err := q.Submit(context.Background(), r)
		if err != nil {
			return err
		}
		fmt.Println("accepted", j.ID)
	}
	wg.Wait()
	return nil
}

// playWorker works until it is killed, and says what it takes.
func playWorker() error {
	o := crashOptions()
	o.Losses = 0
	q, err := Open(context.Background(), o)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return q.Work(context.Background(), Worker{Name: os.Getenv(envName), Parallel: 2, Drain: -1, Do: func(ctx context.Context, t *Task) error {
		fmt.Println("took", t.Job().ID)
		return slowEcho(ctx, t)
	}})
}

// child is a process that plays a role.
type child struct {
	cmd   *exec.Cmd
	lines chan string
}

func startChild(t *testing.T, env ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, lines: make(chan string, 10_000)}
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return c
}

// wait returns the rest of the first line that begins with a word.
func (c *child) wait(t *testing.T, word string) string {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				t.Fatalf("a child ended before it said %q", word)
			}
			if rest, found := strings.CutPrefix(line, word); found {
				return strings.TrimSpace(rest)
			}
		case <-timeout:
			t.Fatalf("a child did not say %q", word)
		}
	}
}

// kill is kill -9; it returns what the child had said.
func (c *child) kill(t *testing.T) (lines []string) {
	t.Helper()
	_ = c.cmd.Process.Kill()
	for line := range c.lines {
		lines = append(lines, line)
	}
	_ = c.cmd.Wait()
	return lines
}

// A process that holds the queue, accepts jobs and does them is killed at random
// moments. In the end each job that it had accepted has one set of results and one end.
func TestKilledServer(t *testing.T) {
	kills, perLife := 20, 50
	if testing.Short() {
		kills = 4
	}
	dir := filepath.Join(t.TempDir(), "store")
	chance := philox.New(uint64(time.Now().UnixNano()), 0)
	accepted := map[string]bool{}
	for i := range kills {
		// In the first lives it accepts jobs, then it only has to get rid of them.
		want := 0
		if i == 0 || i%5 == 0 {
			want = perLife
		}
		c := startChild(t, envRole+"=server", envDir+"="+dir, envWant+"="+strconv.Itoa(want))
		if i > 0 && i%3 == 0 { // while it opens the store and puts it in order
			time.Sleep(time.Duration(20+chance.Intn(uint64(i), 130)) * time.Millisecond)
		} else {
			c.wait(t, "ready")
			time.Sleep(time.Duration(chance.Intn(uint64(i), 500)) * time.Millisecond)
		}
		for _, line := range c.kill(t) {
			if id, ok := strings.CutPrefix(line, "accepted "); ok {
				accepted[id] = true
			}
		}
	}
	o := quick(dir)
	o.Lease = 500 * time.Millisecond
	q := openQueue(t, o)
	work(t, q, Worker{Parallel: 4, Do: slowEcho})
	list, err := q.List(t.Context(), Filter{AllOwners: true, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	attempts := 0
	for _, j := range list { // some were accepted without the child having come to say so
		j = await(t, q, j.ID)
		if j.State != Completed || len(j.Results) != 2 {
			t.Errorf("job %s: %s with %d results, %v", j.ID, j.State, len(j.Results), j.Fault)
		}
		ids, attempts = append(ids, j.ID), attempts+j.Attempt
	}
	for id := range accepted {
		if !slices.Contains(ids, id) {
			t.Errorf("job %s was accepted and is lost", id)
		}
	}
	if len(accepted) < perLife/5 {
		t.Errorf("only %d jobs were accepted; the test shows nothing", len(accepted))
	}
	time.Sleep(200 * time.Millisecond)
	checkStore(t, q, ids)
	checkOnce(t, q, len(ids))
	t.Logf("%d kills, %d jobs accepted, %d done in %d attempts", kills, len(accepted), len(ids), attempts)
}

// checkOnce reads all events of ends and counts them by job.
func checkOnce(t *testing.T, q *Queue, jobs int) {
	t.Helper()
	cons, err := q.ends.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := cons.Fetch(jobs+10, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for m := range batch.Messages() {
		count[m.Subject()]++
	}
	if len(count) != jobs {
		t.Errorf("ends of %d jobs, want %d", len(count), jobs)
	}
	for s, n := range count {
		if n != 1 {
			t.Errorf("%s: %d ends", s, n)
		}
	}
}

// natsServer starts a NATS server as a process of its own and returns its URL: the
// program that SR3_TEST_NATS_SERVER names, else one built from the module's version.
func natsServer(t *testing.T) string {
	t.Helper()
	program := os.Getenv("SR3_TEST_NATS_SERVER")
	if program == "" {
		program = filepath.Join(t.TempDir(), "nats-server")
		out, err := exec.Command("go", "build", "-o", program, "github.com/nats-io/nats-server/v2").CombinedOutput()
		if err != nil {
			t.Skipf("no NATS server can be built here: %v %s", err, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(program, "-a", "127.0.0.1", "-p", port, "-js", "-sd", t.TempDir())
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return "nats://" + addr
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the NATS server does not answer")
	return ""
}

// Two workers share an external server; one is killed in the middle of a job, and the
// other does that one too.
func TestKilledWorker(t *testing.T) {
	url := natsServer(t)
	jobs := 200
	if testing.Short() {
		jobs = 40
	}
	q := openQueue(t, Options{URL: url, Lease: 500 * time.Millisecond, Backoff: 10 * time.Millisecond, MaxBytes: 256 << 20, Logger: testLogger()})
	var ids []string
	for i := range jobs {
		ids = append(ids, submit(t, q, i).ID)
	}
	env := func(name string) []string {
		return []string{envRole + "=worker", envURL + "=" + url, envName + "=" + name}
	}
	victim, other := startChild(t, env("victim")...), startChild(t, env("other")...)
	other.wait(t, "took")
	var held string
	for range 5 {
		held = victim.wait(t, "took")
	}
	victim.kill(t)
	by := map[string]int{}
	for _, id := range ids {
		j := await(t, q, id)
		if j.State != Completed {
			t.Errorf("job %s: %s, %v", id, j.State, j.Fault)
		}
		by[j.Worker]++
	}
	j, err := q.Get(t.Context(), held)
	if err != nil || j.Worker != "other" || j.Attempt != 2 {
		t.Errorf("the job in hand at the kill was done by %s in attempt %d, %v", j.Worker, j.Attempt, err)
	}
	if by["victim"] == 0 || by["other"] == 0 {
		t.Errorf("jobs were done by %v", by)
	}
	time.Sleep(200 * time.Millisecond)
	checkStore(t, q, ids)
	checkOnce(t, q, len(ids))
	t.Logf("done by %v", by)
}
