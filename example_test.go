package sr3_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/sr3-go/sr3"
)

// Five lines upscale a picture. Open also takes the path of a model file; the
// empty name opens the default model.
func Example() {
	up, err := sr3.Open("photo-x4")
	check(err)
	img, err := sr3.ReadFile("testdata/coffee.png")
	check(err)
	large, err := up.Upscale(context.Background(), img, sr3.Options{})
	check(err)
	check(sr3.WriteFile(filepath.Join(os.TempDir(), "large.png"), large))
	fmt.Printf("%dx%d became %dx%d\n", img.Width, img.Height, large.Width, large.Height)
	// Output: 80x64 became 320x256
}

// A callback sees every refinement step, and may look at the picture as it
// stands.
func ExampleUpscaler_Upscale() {
	up, err := sr3.Open("testdata/untrained-x4.safetensors")
	check(err)
	img, err := sr3.ReadFile("testdata/coffee.png")
	check(err)
	_, err = up.Upscale(context.Background(), img, sr3.Options{Scale: 2, Steps: 3, OnStep: func(s sr3.Step) {
		fmt.Printf("step %d of %d: gamma %.4f, %d pixels wide\n", s.Index, s.Steps, float64(s.Gamma), s.Preview().Width)
	}})
	check(err)
	// Output:
	// step 1 of 3: gamma 0.3984, 320 pixels wide
	// step 2 of 3: gamma 0.9999, 320 pixels wide
	// step 3 of 3: gamma 1.0000, 320 pixels wide
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
