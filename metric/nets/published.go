package nets

import (
	"slices"
	"strings"
)

// publishedDigests begin the SHA-256 of the files that [Kind.Weights] names. Their
// publishers put these digits into the names.
var publishedDigests = map[Kind][]string{
	InceptionFID: {"6726825d"},
	InceptionV3:  {"0cc3c7bd", "1a9a5a14"},
	ResNet50:     {"0676ba61", "19c8e357", "11ad3fa6"},
	VGG16:        {"397923af"},
	AlexNet:      {"7be5be79", "4df8aa71"},
	MobileNetV2:  {"b0353104", "7ebf99e0"},
}

// publishedHeads are those of the files that [LPIPSHeads] names.
var publishedHeads = map[Kind]string{AlexNet: "df73285e", VGG16: "a78928a0"}

// Published reports whether a file with this SHA-256, in hexadecimal digits, is one
// that [Kind.Weights] names, by its first eight digits. Numbers of other files,
// even of the same weights in another format, cannot be told from those of other
// weights, and are not to be called FID, KID, IS or LPIPS without a word. The
// .caffemodel of VGG16 is not known by its digest.
func (k Kind) Published(digest string) bool {
	return slices.ContainsFunc(publishedDigests[k], func(d string) bool { return strings.HasPrefix(digest, d) })
}

// LPIPSHeadsPublished is [Kind.Published] for the file that [LPIPSHeads] names.
func LPIPSHeadsPublished(kind Kind, digest string) bool {
	known := publishedHeads[kind]
	return known != "" && strings.HasPrefix(digest, known)
}
