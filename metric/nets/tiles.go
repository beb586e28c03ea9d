package nets

// Large images are computed in tiles, so that memory does not grow with the
// image. Position p of a stage sees the pixels around jump*p. A tile that
// reaches halo pixels beyond its core has the very features of the whole image at
// the positions of its core.
const (
	// lpipsHalo is the reach of the last stages: position p of VGG16's sees pixels
	// 16p-90 to 16p+105, of AlexNet's 16p-66 to 16p+96. It is a multiple of 16.
	lpipsHalo = 112
	// lpipsCore is how many pixels a side a tile contributes, a multiple of 16 too.
	lpipsCore = 208
)

// lpipsJumps are the distances, in pixels, of neighbouring positions of the stages.
var lpipsJumps = map[Kind][]int{AlexNet: {4, 8, 16, 16, 16}, VGG16: {1, 2, 4, 8, 16}}
