// Package imageio reads and writes the pictures that a super-resolution program
// meets: PNG, JPEG, WebP, TIFF, BMP and GIF in; PNG, JPEG, lossless WebP and
// TIFF out; grey or colour, with or without alpha, 8 or 16 bits a sample.
//
// In memory a picture is an [Image] of float32 samples in [-1, 1], sRGB-encoded,
// the range the networks work in. 8- and 16-bit samples survive reading and
// writing exactly. The orientation tag of cameras is applied to the pixels on
// reading. ICC profile, EXIF, XMP and text are kept and carried over to the
// output format; what a format cannot hold is dropped with a note.
//
// Files are not trusted. Sizes are checked against [Limits] before memory is
// committed, damaged or truncated picture data is an error that names the file,
// and damaged metadata is dropped with a note. With the default limits reading
// a file stays below 1 GiB of memory.
package imageio
