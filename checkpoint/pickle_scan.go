package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	// maxPickle bounds the pickled part of a checkpoint, which holds names and
	// shapes but no weights: about 300 bytes a tensor.
	maxPickle = 16 << 20
	// maxPickleOps bounds the memory that a pickle can claim: the worst
	// instruction makes about 300 bytes of objects.
	maxPickleOps = 1 << 20
	// maxPickleBuilds bounds how often an object is given a state, of which each
	// copies the whole: torch.save does it once for a state dict.
	maxPickleBuilds = 32
	// maxPickleMarks bounds the nesting of unfinished containers.
	maxPickleMarks = 256
	// highestProtocol is the newest pickle protocol that is read.
	highestProtocol = 5
)

// opArg is the kind of argument that a pickle instruction carries.
type opArg uint8

const (
	argRefused opArg = iota // the zero value: an instruction that is not read
	argNone
	arg1 // this many bytes
	arg2
	arg4
	arg8
	argLen1 // a length of 1 byte, then as many bytes
	argLen4
	argLen8
	argLong  // an integer with a length byte
	argFrame // an 8-byte length that only announces what follows
	argNames // two lines: module and name
)

// pickleArgs returns the argument of an instruction. Only those that a state
// dict in protocol 2 to 5 is made of are known; the text instructions of
// protocol 0, byte strings, sets, extension codes and the instructions that
// build instances of classes are refused.
func pickleArgs(op byte) opArg {
	switch op {
	case '(', '.', '0', '1', '2', 'N', 'Q', 'R', 'a', 'b', 'd', 'e', 'l', 's', 't', 'u', '}', ']', ')',
		0x85, 0x86, 0x87, 0x88, 0x89, 0x93, 0x94:
		return argNone
	case 'K', 'h', 'q', 0x80:
		return arg1
	case 'M':
		return arg2
	case 'J', 'j', 'r':
		return arg4
	case 'G':
		return arg8
	case 'U', 0x8c:
		return argLen1
	case 'T', 'X':
		return argLen4
	case 0x8d:
		return argLen8
	case 0x8a:
		return argLong
	case 0x95:
		return argFrame
	case 'c':
		return argNames
	}
	return argRefused
}

// scanPickle checks the pickle at the start of data before anything interprets
// it, and returns its length. After it, interpreting those bytes allocates no
// more than a constant for each of at most maxPickleOps instructions, but for
// maxPickleBuilds of them once each, plus the strings that are there. Global names
// are known to be allowed ones, but for those that protocol 4 takes from the stack:
// they go through pickleGlobal when they are met, or are one of two classes that
// the unpickler has itself, of which nothing can be made.
func scanPickle(data []byte) (int, error) {
	data = data[:min(len(data), maxPickle)]
	marks, builds := 0, 0
	at := 0
	for range maxPickleOps {
		if at == len(data) {
			return 0, errors.New("the pickle has no end; the file is truncated or damaged")
		}
		op := data[at]
		n, err := pickleArgLen(op, data[at+1:])
		if err != nil {
			return 0, fmt.Errorf("pickle instruction %#02x at byte %d: %w", op, at, err)
		}
		at += 1 + n
		switch op {
		case '.':
			return at, nil
		case '(':
			marks++
		case 't', 'd', 'l', 'u', 'e', '1':
			marks--
		case 'b':
			builds++
		}
		if builds > maxPickleBuilds {
			return 0, fmt.Errorf("the pickle sets the state of more than %d objects; this is no state dict", maxPickleBuilds)
		}
		if marks > maxPickleMarks {
			return 0, fmt.Errorf("the pickle nests more than %d deep", maxPickleMarks)
		}
	}
	return 0, fmt.Errorf("the pickle has more than %d instructions; this is no state dict", maxPickleOps)
}

// pickleArgLen returns the bytes of an instruction's argument, which all lie in rest.
func pickleArgLen(op byte, rest []byte) (int, error) {
	prefix, length := 0, uint64(0)
	le := binary.LittleEndian
	switch kind := pickleArgs(op); kind {
	case argRefused:
		return 0, errors.New("not part of a state dict; the file is damaged or not written by torch.save")
	case argNone:
		return 0, nil
	case arg1, arg2, arg4, arg8:
		length = 1 << (kind - arg1)
		if op == 0x80 && len(rest) > 0 && rest[0] > highestProtocol {
			return 0, fmt.Errorf("pickle protocol %d is newer than %d; save with the default pickle_protocol", rest[0], highestProtocol)
		}
	case argNames:
		return globalArgLen(rest)
	default:
		prefix = map[opArg]int{argLen1: 1, argLen4: 4, argLen8: 8, argLong: 1, argFrame: 8}[kind]
		if len(rest) < prefix {
			return 0, errPickleShort
		}
		var buf [8]byte
		copy(buf[:], rest[:prefix])
		length = le.Uint64(buf[:])
		if kind == argLong && (length == 0 || length > 16) {
			return 0, fmt.Errorf("integer of %d bytes", length)
		}
	}
	if length > uint64(len(rest)-min(prefix, len(rest))) {
		return 0, errPickleShort
	}
	if pickleArgs(op) == argFrame {
		return prefix, nil // the contents are instructions
	}
	return prefix + int(length), nil
}

var errPickleShort = fmt.Errorf("the argument runs past the end (or past %d MiB); the file is truncated or damaged", maxPickle>>20)

// globalArgLen reads the module and name of a GLOBAL and refuses foreign ones.
func globalArgLen(rest []byte) (int, error) {
	parts := bytes.SplitN(rest[:min(len(rest), 1024)], []byte("\n"), 3)
	if len(parts) < 3 {
		return 0, errors.New("a name without an end")
	}
	module, name := string(parts[0]), string(parts[1])
	if _, err := pickleGlobal(module, name); err != nil {
		return 0, err
	}
	return len(module) + len(name) + 2, nil
}

// ForeignGlobalError reports that a pickle asked for something that a state
// dict does not need, such as a class to instantiate or a function to call.
type ForeignGlobalError struct {
	Module, Name string
}

func (e *ForeignGlobalError) Error() string {
	return fmt.Sprintf("the pickle refers to %q, which is no part of a state dict (nothing was executed); "+
		"save the weights alone with torch.save(model.state_dict(), \"weights.pth\")",
		strings.TrimPrefix(e.Module+"."+e.Name, "."))
}
