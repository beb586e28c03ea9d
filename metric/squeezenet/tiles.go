package squeezenet

// Large images are computed in tiles, so that memory does not grow with the
// image. Each stage's position p sees the pixels around jump*p, where jump is 2
// after the first layer and doubles with every pooling: at most halo pixels to
// either side. So a tile that reaches halo pixels beyond its core has the very
// features of the whole image at the positions of its core.
const (
	// halo is the reach of the last stage: its position p sees pixels 16p-96 to
	// 16p+110. It is a multiple of the largest jump, 16.
	halo = 112
	// core is how many pixels a side a tile contributes, a multiple of 16 too.
	core = 512
)

// stage is where a stage's positions lie along one side of an image.
type stage struct{ jump, size int }

// stages lists the nine stages along a side of n pixels.
func stages(n int) []stage {
	s := stage{2, (n-stem().kernel)/stem().stride + 1}
	list := []stage{s}
	for _, f := range fires() {
		if f.pooled {
			s = stage{s.jump * poolStride, (s.size-poolKernel)/poolStride + 1}
		}
		list = append(list, s)
	}
	return list
}
