// Package heatmap draws a field of numbers as an image of colours with a legend.
//
// The scale is given and not fitted to the values, so that images of different
// fields compare. Equal differences of values are equal differences of colour as
// Oklab measures them (Björn Ottosson, "A perceptual color space for image
// processing", 2020), and larger values are always lighter: the image can be read
// by those who confuse hues, and in print.
package heatmap
