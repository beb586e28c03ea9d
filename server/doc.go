// Package server is the HTTP side of the job queue: it takes images, hands out jobs,
// their progress and their results, and serves the page. One mux of net/http has all
// routes; openapi.json describes them, and the tests hold every response against it.
//
// Whatever comes in is bounded before it costs anything: bodies by their length and
// their speed, images by the pixels that their header claims, waiting requests and
// event streams by their number, submissions by a rate for each key. Every failure is
// an application/problem+json (RFC 9457) with a code that does not change. No path of
// the server's files is ever taken from a request.
package server
