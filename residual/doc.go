// Package residual is what is diffused in place of an image hr: what its condition x
// lacks, brought to the scale of the noise,
//
//	y0 = f (hr - x)
//
// where f is one number, or follows the contrast of x (see [Scale]).
package residual
