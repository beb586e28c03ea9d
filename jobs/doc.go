// Package jobs is a durable queue of images to enlarge, on NATS JetStream: in
// this process with its store on disk, or on a server or cluster elsewhere. The
// same code serves both.
//
// A job that [Queue.Submit] has accepted is done once or ends in a state that says
// why not, whatever is killed meanwhile. Workers hold jobs by a lease that they
// renew; the job of a worker that fell silent is taken up by another. It ends with
// one set of results and one event of its end.
package jobs
