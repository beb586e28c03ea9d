// Package worker does the jobs of package jobs: it opens models by name, checks
// settings and images before a job is accepted, enlarges, and reports every step.
//
// Nothing that a job says is a path: models are those of [Models.List], and an
// upload's name is only a name.
package worker
