// Package dataset turns folders and tar files of photographs into training batches for super-resolution: pairs of a
// high-resolution crop and the low-resolution image x that was made from it, already enlarged again (Saharia et al.
// 2021, section 4: bicubic reduction with antialiasing, bicubic enlargement).
//
// Everything that is drawn at random (which image, where the crop lies, how it is flipped) is a function of the seed,
// the step and the example's place in the batch alone. Any batch can therefore be made without those before it, which
// is what makes an interrupted training run continue bit for bit, and batches can be prepared ahead on other
// goroutines ([Prefetch]) without changing what they hold.
//
// Images that cannot be read or are too small are reported once, with the reason, and left out.
package dataset
