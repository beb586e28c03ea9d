// Package checkpoint reads and writes files of named tensors: the safetensors
// format, whole or split into shards, and (reading only) the two containers in
// which PyTorch keeps a pickled state dict or optimiser state.
//
// No file is trusted. Every size is checked against the size of the file before
// anything is allocated, a pickle is only ever turned into plain data (a name
// outside a short list of tensor constructors is an error, nothing is run), and
// every error names the file, the reason and what to do about it.
//
// Files written here carry a digest, [DigestKey] in their metadata: the SHA-256
// of the whole file with the digest's own 64 hexadecimal digits taken as '0'.
// Reading verifies it, so a flipped bit is an error and not a wrong weight.
package checkpoint
