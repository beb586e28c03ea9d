// Package archtest keeps the rules of the house as tests: which packages may
// import which, that every package says what it is, that files stay small enough
// to be read in one sitting.
package archtest
