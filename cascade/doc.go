// Package cascade says which models enlarge an image one after the other: what one
// makes is the input of the next (section 4.3 of the paper). Lists come from names
// joined by commas or from files; [upscale.Cascade] does the work.
package cascade
