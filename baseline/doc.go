// Package baseline puts all ways of enlarging an image behind one interface,
// [Method], so that they can be measured alike: filters (nearest, bicubic,
// Lanczos), SR3 models with any settings of refinement, regression models (the
// paper's strongest baseline: the same U-Net in one pass, section 4), and images
// that other programs made.
//
// A [Spec] is what a command line says about a method; an [Opener] makes methods
// of specs and shares models among them.
package baseline
