package model

import "errors"

// errNewer is the cause of the error for a file of a later [FormatVersion].
var errNewer = errors.New("update sr3")

// Fault is what is wrong with a file that no model could be read from.
type Fault struct {
	// Is completes a sentence about the file: "damaged", say.
	Is string
	// WayOut is what its owner can do, an imperative without a full stop.
	WayOut string
}

// Diagnose says what is wrong with the file at path (where there is none, an embedded model), err being the error of
// [Open] or [Load].
func Diagnose(path string, err error) Fault {
	if errors.Is(err, errNewer) {
		return Fault{"of a newer version of sr3", "update sr3"}
	}
	if ours, err := IsModel(path); err == nil && !ours {
		return Fault{"not an SR3 model", "move it to another folder"}
	}
	return Fault{"damaged", "copy it again from its source"}
}
