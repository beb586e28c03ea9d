package web_test

import (
	"bytes"
	"fmt"
	"image"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/tiff"

	"github.com/sr3-go/sr3/internal/browsertest"
	"github.com/sr3-go/sr3/jobs"
	"github.com/sr3-go/sr3/web/webtest"
)

const rows = `document.querySelectorAll(".jobs li").length`

// testQueue has several jobs in line, cancels, runs again, reuses, removes and reloads.
func testQueue(t *testing.T, b *browsertest.Browser) {
	s := webtest.New(t, webtest.Options{Steps: 4})
	p := open(t, b, s, browsertest.Desktop)
	p.Upload("#files", photo(t, "one.png", 16), photo(t, "two.png", 16), photo(t, "three.png", 16))
	p.Wait(`document.getElementById("submit").textContent === "Enlarge 3 images"`)
	p.Click("#submit")
	p.Wait(rows + ` === 3 && document.querySelector("#line li:nth-child(3) .detail").textContent.startsWith("waits, 2 before it")`)
	s.AwaitWatched(0)
	s.Advance(2)
	p.Wait(`document.querySelector("#line li:first-child .detail").textContent === "step 2 of 4"`)
	p.Click("#stage-action")
	p.Wait(`document.querySelector("#history .detail").textContent.startsWith("cancelled")`)
	if got := s.Jobs()[0].State; got != jobs.Cancelled {
		t.Errorf("the job is %s", got)
	}
	p.Click(`#history [data-act=again]`)
	s.Await("the cancelled job runs again", func(l []jobs.Job) bool { return len(l) == 4 })
	all := s.Jobs()
	if !cmp.Equal(all[3].Settings, all[0].Settings) || all[3].Input.SHA256 != all[0].Input.SHA256 || all[3].Input.Name != "one.png" {
		t.Errorf("again made %+v of %+v", all[3], all[0])
	}
	s.Advance(4) // two.png, which nobody looks at
	p.Wait(`document.querySelectorAll("#history li").length === 2`)
	p.Click(`#history li:first-child .open`)
	p.Wait(`document.querySelector(".compare .after")?.naturalWidth === 64 && document.querySelector(".head h3").textContent === "two.png"`)
	p.Fill("#seed", "7")
	p.Click(`#history [data-act=reuse]`)
	p.Wait(fmt.Sprintf(`document.getElementById("seed").value === "%d" && document.getElementById("hold").getAttribute("aria-pressed") === "true"`, all[1].Settings.Seed))

	reload(p)
	p.Wait(rows + ` === 4 && document.querySelector(".compare .after")?.naturalWidth === 64`)
	p.Click(`#history [data-act=remove]`)
	p.Wait(`document.getElementById("confirm-text").textContent.includes("two.png")`)
	p.Click(`#confirm-dialog [value=no]`)
	p.Wait(rows + ` === 4`)
	p.Click(`#history [data-act=remove]`)
	p.Click(`#confirm-dialog [value=yes]`)
	p.Wait(rows + ` === 3 && document.querySelector(".empty")`)
}

// reload loads the page again and waits until it is ready.
func reload(p *browsertest.Page) {
	browsertest.Eval[bool](p, `window.old = true`)
	p.Reload()
	p.Wait(`!window.old && document.getElementById("model")?.value !== ""`)
}

// testFailure shows a job that the server gave up.
func testFailure(t *testing.T, b *browsertest.Browser) {
	s := webtest.New(t, webtest.Options{})
	p := open(t, b, s, browsertest.Desktop)
	send(p, photo(t, "one.png", 16))
	s.AwaitWatched(0)
	s.Advance(1)
	s.Discard("image-damaged", "The image breaks off in the middle: send the whole file.")
	p.Wait(`document.querySelector(".empty .error").textContent.startsWith("The image breaks off") && document.querySelector(".empty code").textContent === "image-damaged"`)
	p.Wait(`document.querySelector("#history .detail").textContent.startsWith("failed")`)
	p.Screenshot("failure")
}

// testRefusals has the server refuse uploads for all kinds of reasons.
func testRefusals(t *testing.T, b *browsertest.Browser) {
	s := webtest.New(t, webtest.Options{MaxBytes: 4000})
	p := open(t, b, s, browsertest.Desktop)
	p.Allow("415", "422", "503", "429")
	p.Upload("#files", photo(t, "large.png", 80))
	p.Wait(`document.querySelector("#pending .error").textContent === "Too large: the server takes up to 4 kB." && document.getElementById("submit").disabled`)
	p.Click("#pending button")
	p.Wait(`document.querySelectorAll("#pending li").length === 0`)

	p.Upload("#files", file(t, "text.png", []byte("no picture")))
	p.Wait(`!document.getElementById("submit").disabled`)
	p.Click("#submit")
	p.Wait(`document.querySelector("#pending .error").textContent.startsWith("text.png is not an image")`)
	p.Click("#pending button")

	s.Refuse("POST", "/v1/jobs", 422, "settings-invalid", "The model takes up to 8 draws.", "")
	send(p, photo(t, "small.png", 16))
	p.Wait(`document.getElementById("submit-error").textContent === "The model takes up to 8 draws."`)
	p.Screenshot("refused")

	s.Refuse("POST", "/v1/jobs", 503, "queue-full", "The queue is full.", "1")
	s.Refuse("POST", "/v1/jobs", 429, "too-many", "One at a time.", "1")
	p.Click("#submit")
	p.Wait(`document.querySelector("#pending .detail").textContent === "The server is busy: again in 1 s"`)
	p.Wait(`document.querySelectorAll("#pending li").length === 0`)
	if n := len(s.Jobs()); n != 1 {
		t.Errorf("%d jobs were made of one image", n)
	}
	s.Refuse("DELETE", "/v1/jobs", 503, "busy", "The store is busy.", "")
	s.AwaitWatched(0)
	s.Discard("failed", "No.")
	p.Wait(`document.querySelector("#history [data-act=remove]")`)
	p.Click(`#history [data-act=remove]`)
	p.Click(`#confirm-dialog [value=yes]`)
	p.Wait(`document.getElementById("jobs-error").textContent === "The store is busy."`)
	p.Fill("#scale", "64")
	p.Upload("#files", photo(t, "small.png", 40))
	p.Wait(`document.querySelector("#pending .error").textContent.includes("is more than 4.2 MP")`)
}

// testKey enters a wrong key and then the right one.
func testKey(t *testing.T, b *browsertest.Browser) {
	const key = "sr3_right-key"
	s := webtest.New(t, webtest.Options{Key: key, Steps: 2})
	p := b.Open(t, s.URL+"/", browsertest.Desktop)
	p.Allow("401")
	p.Wait(`document.getElementById("key-dialog").open`)
	p.Screenshot("key")
	p.Fill("#key", "wrong")
	p.Click("#key-form button")
	p.Wait(`document.getElementById("key-error").textContent.includes("not among its keys")`)
	p.Fill("#key", key)
	p.Click("#key-form button")
	p.Wait(`!document.getElementById("key-dialog").open && document.getElementById("model").value === "photo-x4"`)
	send(p, photo(t, "one.png", 16))
	s.AwaitWatched(0)
	s.Advance(2)
	p.Wait(`document.querySelector(".compare .after")?.naturalWidth === 64`)
	reload(p)
	p.Wait(`document.querySelector(".compare .after")?.naturalWidth === 64 && !document.getElementById("key-dialog").open`)
	for _, r := range p.Requests() {
		if strings.Contains(r, key) {
			t.Errorf("the key is in an address: %s", r)
		}
	}
	if kept := browsertest.Eval[string](p, `JSON.stringify(localStorage)`); strings.Contains(kept, key) {
		t.Error("the key is kept beyond the tab")
	}
}

// testOffline loses the connection in the middle of a refinement and finds it again.
func testOffline(t *testing.T, b *browsertest.Browser) {
	s := webtest.New(t, webtest.Options{Steps: 6})
	p := open(t, b, s, browsertest.Desktop)
	p.Allow("net::ERR_", "network error")
	send(p, photo(t, "one.png", 16))
	s.AwaitWatched(0)
	s.Advance(2)
	p.Wait(`document.querySelectorAll(".strip button").length === 2`)
	p.Offline(true)
	s.CloseClientConnections()
	p.Wait(`document.getElementById("connection").textContent.startsWith("No connection")`)
	p.Upload("#files", photo(t, "two.png", 16))
	p.Wait(`!document.getElementById("submit").disabled`)
	p.Click("#submit")
	p.Wait(`document.querySelector("#pending .detail").textContent === "Waits for the connection"`)
	s.Advance(1)
	p.Offline(false)
	p.Wait(`document.getElementById("connection").hidden && document.querySelectorAll("#pending li").length === 0`)
	s.AwaitWatched(0)
	s.Advance(2)
	p.Wait(`document.querySelectorAll(".strip button").length === 4 && document.querySelector(".status").textContent === "Step 5 of 6"`)
	s.Advance(1)
	p.Wait(`document.querySelector(".compare .after")?.naturalWidth === 64`)
	if n := len(s.Jobs()); n != 2 {
		t.Errorf("%d jobs were made of two images", n)
	}
}

// testRemembered finds the settings of the last visit, and those that follow the model.
func testRemembered(t *testing.T, b *browsertest.Browser) {
	s := webtest.New(t, webtest.Options{Steps: 7})
	p := open(t, b, s, browsertest.Desktop)
	value := func(id, want string) {
		t.Helper()
		p.Wait(fmt.Sprintf(`document.getElementById(%q).value === %q`, id, want))
	}
	value("steps", "7")
	value("scale", "4")
	p.Select("#model", "face-x2")
	value("scale", "2")
	p.Wait(`document.getElementById("steps").disabled && document.getElementById("seed").disabled`)
	p.Select("#model", "photo-x4")
	p.Fill("#steps", "12")
	p.Select("#size", "width")
	p.Fill("#width", "640")
	p.Select("#format", "jpg")
	p.Fill("#quality", "80")
	p.Fill("#seed", "99")
	reload(p)
	for id, want := range map[string]string{"steps": "12", "size": "width", "width": "640", "format": "jpg", "quality": "80", "seed": "99"} {
		value(id, want)
	}
	p.Click("#hold")
	reload(p)
	p.Wait(`document.getElementById("seed").value !== "99"`)
	p.Fill("#steps", "0")
	p.Upload("#files", photo(t, "one.png", 16))
	p.Wait(`!document.getElementById("submit").disabled`)
	p.Click("#submit")
	p.Wait(`document.querySelector("#steps:user-invalid")`)
	if n := len(s.Jobs()); n != 0 {
		t.Errorf("%d jobs were made of settings that cannot be", n)
	}
}

// testStream feeds the parser of server-sent events in all ways to cut a text.
func testStream(t *testing.T, b *browsertest.Browser) {
	s := webtest.New(t, webtest.Options{})
	p := open(t, b, s, browsertest.Desktop)
	got := browsertest.Eval[string](p, `import("/assets/events.js").then(({ parser }) => {
		const text = ": hi\r\n\r\nevent: step\r\ndata: a\r\ndata:b\r\n\r\ndata\n\nevent: lost\n\nid: 1\rdata: é\r\rdata: open";
		const all = new Set();
		for (let cut = 0; cut <= text.length; cut++) for (let more = cut; more <= text.length; more++) {
			const out = [];
			const feed = parser((name, data) => out.push(name + "=" + data));
			feed(text.slice(0, cut)); feed(text.slice(cut, more)); feed(text.slice(more));
			all.add(JSON.stringify(out));
		}
		return [...all].join(" or ");
	})`)
	if want := `["step=a\nb","message=","message=é"]`; got != want {
		t.Errorf("the stream is read as %s, want %s", got, want)
	}
}

// testDrop drops and pastes files.
func testDrop(t *testing.T, b *browsertest.Browser) {
	s := webtest.New(t, webtest.Options{})
	p := open(t, b, s, browsertest.Desktop)
	const transfer = `(() => { const d = new DataTransfer();
		d.items.add(new File([new Uint8Array(%d)], "dropped.tiff", { type: "image/tiff" }));
		d.items.add(new File(["x"], "readme.txt", { type: "text/plain" })); return d; })()`
	browsertest.Eval[bool](p, fmt.Sprintf(`document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: `+transfer+` })) || true`, 300))
	p.Wait(`document.querySelector("#pending .name").textContent === "dropped.tiff" && document.querySelector("#pending .detail").textContent === "300 bytes"`)
	p.Wait(`document.getElementById("announcer").textContent === "1 image added, 1 other file left out"`)
	p.Wait(`document.getElementById("left-out").checkVisibility() && document.getElementById("left-out").textContent === "Left out, not an image: readme.txt"`)
	browsertest.Eval[bool](p, fmt.Sprintf(`document.body.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData: `+transfer+` })) || true`, 2000))
	p.Wait(`document.querySelectorAll("#pending li").length === 2 && document.querySelector("#pending li:last-child .detail").textContent === "2 kB"`)
	p.Click("#pending li:first-child button")
	p.Wait(`document.querySelectorAll("#pending li").length === 1 && document.activeElement.closest("#pending")`)
	if strings.Contains(strings.Join(p.Requests(), " "), "POST") {
		t.Error("something was sent before it was asked for")
	}
}

// testUnseen enlarges an image of a type that the browser does not show.
func testUnseen(t *testing.T, b *browsertest.Browser) {
	var data bytes.Buffer
	if err := tiff.Encode(&data, image.NewGray(image.Rect(0, 0, 12, 9)), nil); err != nil {
		t.Fatal(err)
	}
	s := webtest.New(t, webtest.Options{Steps: 1})
	p := open(t, b, s, browsertest.Desktop)
	send(p, file(t, "scan.tif", data.Bytes()))
	s.AwaitWatched(0)
	s.Advance(1)
	p.Wait(`document.querySelector(".compare .after")?.naturalWidth === 48`)
	p.Wait(`document.querySelector(".before").classList.contains("unseen") && document.querySelector("#stage .error").textContent.includes("cannot show one of the pictures")`)
	p.Wait(`document.querySelector("#history span.thumb svg")`)
}
