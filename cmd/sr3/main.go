// Command sr3 makes images larger by iterative refinement, and trains the models
// that do it. Run "sr3 --help".
package main

import (
	"os"

	"github.com/sr3-go/sr3/internal/cli"
)

func main() { os.Exit(cli.Main()) }
