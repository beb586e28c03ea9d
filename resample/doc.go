// Package resample changes the size of images with separable kernels.
//
// It is the degradation and the conditioning of SR3: training pairs are made by
// antialiased bicubic reduction, and the low-resolution image x reaches the
// network bicubically enlarged (Saharia et al. 2021, sections 2 and 4).
// Published results depend on the exact filter, so there are two paths:
//
//   - [Resize8] works on 8-bit samples in fixed point and gives the same bytes
//     as the Python imaging library Pillow, which the field uses for its data;
//   - [Resize] and [Operator] work on float32 samples with the same weights in
//     float64 and no rounding between the two passes. An Operator is a linear
//     map kept as two banded matrices ([Axis]), so it can also be transposed
//     and, where it reduces, inverted from the right ([RightInverse]).
//
// Samples lie in rows, columns, channels (HWC) and channels are independent:
// premultiply colours by alpha, or fill them in under transparent pixels,
// before resampling. The work is cut into row bands whose extent does not depend
// on the number of threads, so results are the same on any.
package resample
