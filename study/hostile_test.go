package study_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sr3-go/sr3/internal/philox"
	"github.com/sr3-go/sr3/study"
)

// envServe makes the test binary serve the study in the folder it names.
const envServe = "SR3_TEST_SERVE_STUDY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(envServe); dir != "" {
		serveChild(dir)
	}
	os.Exit(m.Run())
}

// serveChild serves until it is killed and prints its address first.
func serveChild(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	f, err := study.Open(dir)
	fail(err)
	s, err := f.OpenStore(context.Background())
	fail(err)
	h, err := study.NewServer(context.Background(), f, s, study.Options{})
	fail(err)
	server := httptest.NewServer(h)
	fmt.Println(server.URL)
	select {}
}

// TestKill kills a server with SIGKILL between and while answers come in: every
// answer that was acknowledged is there, and none is there twice or in part.
func TestKill(t *testing.T) {
	f := build(t, 40, func(m *study.Manifest) { m.PerSubject, m.Catch = 36, 4 })
	s := openStore(t, f)
	tokens, err := s.AddSubjects(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Agree(t.Context(), tokens[0]); err != nil {
		t.Fatal(err)
	}
	s.Close()
	acknowledged := 0
	coin := philox.New(11, 0)
	for round := range 6 {
		cmd, url := startChild(t, f.Dir)
		page := url + "/s/" + tokens[0]
		timer := time.AfterFunc(time.Duration(5+coin.Intn(uint64(round), 60))*time.Millisecond, func() { cmd.Process.Kill() })
		for acknowledged < 40 {
			r, err := http.Post(page+"/answers", "application/json", strings.NewReader(answerBody(acknowledged, []string{"left", "right"}[acknowledged%2])))
			if err != nil {
				break // killed; the browser would send it again
			}
			body := readAll(t, r)
			if r.StatusCode == http.StatusConflict {
				t.Fatalf("acknowledged answer %d is lost", acknowledged-1)
			}
			if r.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", r.StatusCode, body)
			}
			acknowledged++
		}
		timer.Stop()
		cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
		s := openStore(t, f)
		answers, err := s.Answers(t.Context())
		s.Close()
		if err != nil || len(answers) < acknowledged || len(answers) > acknowledged+1 {
			t.Fatalf("round %d: %d answers stored, %d acknowledged, %v", round, len(answers), acknowledged, err)
		}
		for i, a := range answers {
			if a.Trial != i || string(a.Choice) != []string{"left", "right"}[i%2] || a.Response != 3512.25 {
				t.Fatalf("answer %d is %+v", i, a)
			}
		}
	}
	t.Logf("%d answers over 6 kills", acknowledged)
	if acknowledged < 2 {
		t.Error("the server was always killed before it could answer")
	}
}

func startChild(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envServe+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, strings.TrimSpace(line)
}

// TestHostileRequests sends 10 000 requests of broken and hostile parts to every
// handler: no panic, no failure of the server, nothing stored but what is right.
func TestHostileRequests(t *testing.T) {
	f := build(t, 6, nil)
	s := openStore(t, f)
	h, err := study.NewServer(t.Context(), f, s, study.Options{Open: true})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := s.AddSubjects(t.Context(), 6) // several, for each is answered so often a second
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range tokens[1:] {
		if _, err := s.Agree(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(filepath.Dir(f.Dir), "secret.png")
	if err := os.WriteFile(secret, []byte("secret of the machine"), 0o666); err != nil {
		t.Fatal(err)
	}
	coin := philox.New(3, 0)
	counter := uint64(0)
	pick := func(list ...string) string {
		counter++
		return list[coin.Intn(counter, len(list))]
	}
	statuses := map[int]int{}
	began := time.Now()
	for range 10_000 {
		token := pick(append(tokens, strings.Repeat("a", 26), strings.ToUpper(tokens[0]), "x", "%00", "..", "' OR 1=1 --")...)
		trial := pick("0", "1", "-1", "99999999999999999999", "0x1", "NaN", "", "..", "%2e%2e")
		target := pick("/", "/start", "/s/"+token, "/s/"+token+"/state", "/s/"+token+"/consent", "/s/"+token+"/answers", "/s/"+token+"/answers",
			"/s/"+token+"/image/"+trial+"/"+pick("left", "00000-original.png", "..%2f..%2f00000-original.png", strings.Repeat("f", 32), "%2e%2e/%2e%2e/secret.png"),
			"/assets/"+pick("study.js", "study.html", "report.html", "..%2f..%2fstudy.toml", "%2e%2e%2fanswers.db", "practice-1.png", "\\..\\study.toml"), "/images/00000-original.png", "/answers.db", "/study.toml")
		body := pick("", "{}", "null", "[]", `{"agree":false}`, `{"agree":"yes"}`, answerBody(7, "left"), answerBody(8, "left"), answerBody(9, "right"), answerBody(1, "left"), answerBody(0, "middle"), answerBody(-1, "left"), answerBody(0, "none"),
			`{"trial":0,"choice":"left","response_ms":-1,"shown_ms":1,"views":1}`, `{"trial":0,"choice":"left","response_ms":1e999,"shown_ms":1,"views":1}`,
			`{"trial":0.5,"choice":"left","response_ms":1,"shown_ms":1,"views":1}`, `{"trial":0,"choice":"left","response_ms":1,"shown_ms":1,"views":0}`,
			`{"trial":0,"choice":"left","response_ms":1,"shown_ms":1,"views":1,"method":"sr3"}`, answerBody(0, "left")+"{}", `{"choice":"left"}`,
			strings.Repeat("[", 3000), "{\"choice\":\""+strings.Repeat("x", 5000)+"\"}", "\xff\xfe\x00")
		r, err := http.NewRequest(pick("GET", "POST", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"), "http://study.example"+strings.ReplaceAll(target, " ", "%20"), strings.NewReader(body))
		if err != nil {
			continue // no such request can be sent
		}
		r.Header.Set("Content-Type", pick("application/json", "application/json; charset=utf-8", "text/plain", "multipart/form-data", ""))
		if pick("same", "same", "cross") == "cross" {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		statuses[w.Code]++
		if w.Code >= 500 {
			t.Fatalf("%s %s with %q: %d %s", r.Method, r.URL, body, w.Code, w.Body)
		}
		if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Fatalf("%s %s: no policy", r.Method, r.URL)
		}
		if strings.Contains(w.Body.String(), "secret of the machine") || strings.Contains(w.Body.String(), "sha256 =") || strings.Contains(w.Body.String(), f.Dir) {
			t.Fatalf("%s %s shows what it must not: %s", r.Method, r.URL, w.Body)
		}
	}
	t.Logf("%v in %.1f s", statuses, time.Since(began).Seconds())
	if answers, err := s.Answers(t.Context()); err != nil || len(answers) != 0 {
		t.Errorf("%d wrong answers were stored, %v", len(answers), err)
	}
	for _, code := range []int{200, 303, 400, 403, 404, 405, 409, 413, 415, 422, 429} {
		if statuses[code] == 0 {
			t.Errorf("no request got %d", code)
		}
	}
}

// FuzzAnswer sends any body as an answer.
func FuzzAnswer(f *testing.F) {
	folder := build(f, 6, nil)
	s := openStore(f, folder)
	h, err := study.NewServer(context.Background(), folder, s, study.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answerBody(0, "left"))
	f.Add(`{"agree":true}`)
	f.Fuzz(func(t *testing.T, body string) {
		tokens, err := s.AddSubjects(context.Background(), 1)
		if err != nil {
			t.Skip(err)
		}
		if _, err := s.Agree(context.Background(), tokens[0]); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/s/"+tokens[0]+"/answers", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		subject, err := s.Find(context.Background(), tokens[0])
		if err != nil || w.Code >= 500 || (w.Code == 200) != (subject.Next == 1) {
			t.Errorf("%q: %d, next %d, %v", body, w.Code, subject.Next, err)
		}
	})
}
