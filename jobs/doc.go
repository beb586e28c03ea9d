// Package jobs is a durable queue of images to enlarge, on NATS JetStream: embedded
// in the process with its store on disk, or an external server or cluster that many
// processes share. The code path is the same.
//
// A job that [Queue.Submit] accepted is on disk. It is done by a worker
// ([Queue.Work]) that holds a lease and renews it; a worker that dies or loses touch
// loses the lease, and the job is taken up by another. What a job is and has become
// is one record, changed by compare-and-swap alone: whatever happens, a job ends
// once, with the results of one attempt. docs/queue.md in the repository describes
// the layout and what survives what.
package jobs
