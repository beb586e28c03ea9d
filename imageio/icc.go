package imageio

import (
	"errors"
	"fmt"
)

// checkICC says why a profile cannot stay with a picture: it is no profile, or
// is for another colour space (as that of a CMYK picture that became RGB). An absent profile is fine.
func checkICC(icc []byte, gray bool) error {
	if len(icc) == 0 {
		return nil
	}
	if len(icc) < 128 || string(icc[36:40]) != "acsp" {
		return errors.New("it is damaged")
	}
	want := "RGB "
	if gray {
		want = "GRAY"
	}
	space := string(icc[16:20])
	// An RGB profile on a grey picture is common and harmless where the format
	// allows it, but PNG forbids it; readers then treat grey as R = G = B.
	if space != want && !(gray && space == "RGB ") {
		return fmt.Errorf("it is for %q pixels, these are %q", space, want)
	}
	return nil
}
