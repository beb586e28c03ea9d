// Package eval makes tables of methods that enlarge images, as the paper's tables
// 1 and 2: it reduces true images, lets every method of package baseline enlarge
// them, measures the results and writes a report.
//
// A report is a folder: results.jsonl has a line for each image and method,
// table.md the table, index.html a page with images and plots that needs nothing
// beside itself, images the results of models; classified has those of a
// classifier's table, features what a network says of images. Whatever was done is on the disk
// at once, so a run that was killed goes on where it was and ends in the same
// report but for times.
package eval
