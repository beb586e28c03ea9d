// Package foolrate is the arithmetic of two-alternative forced choice, the human
// evaluation of SR3 (Saharia et al. 2021, section 4.2): a person sees an original
// photograph and a method's result side by side, in an order that chance decides,
// and must say which is the photograph. The fool rate of a method is the share of
// trials in which its result was taken for the original. Results that nobody can
// tell from originals are chosen half of the time: 50 % is the ceiling of what
// likeness can reach. More than that means that people prefer the result to the
// photograph, or chance.
//
// A [Design] deals trials: [Design.Trials] is a pure function of the study's seed
// and the subject's number, so a subject who returns finds the same trials in the
// same order. [Analyse] turns answers into rates: per method the mean over subjects
// with its standard error, the pooled rate with Wilson's interval, response times
// and rates of single images.
//
// The package knows no files, no images and no network.
package foolrate
