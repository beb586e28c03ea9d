package tfevents

import "encoding/binary"

// Wire types of the protocol-buffer encoding.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// Field numbers of the messages, and the values of their enumerations that are used.
const (
	fieldWallTime    = 1 // Event: double, seconds since 1970
	fieldStep        = 2 // Event: int64
	fieldFileVersion = 3 // Event: string
	fieldSummary     = 5 // Event: Summary
	fieldSessionLog  = 7 // Event: SessionLog

	summaryValue = 1 // Summary: repeated Value

	valueTag    = 1 // Value: string
	valueSimple = 2 // Value: float
	valueImage  = 4 // Value: Image

	imageHeight     = 1 // Image: int32
	imageWidth      = 2 // Image: int32
	imageColorspace = 3 // Image: int32, the number of channels
	imageEncoded    = 4 // Image: bytes
	colorspaceRGB   = 3

	sessionStatus = 1 // SessionLog: enum
	sessionStart  = 1
)

// appendVarintField appends a field holding a non-negative whole number.
func appendVarintField(b []byte, field, value uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, field<<3|wireVarint), value)
}

// appendBytesField appends a field holding a string, bytes or a message.
func appendBytesField(b []byte, field uint64, value []byte) []byte {
	b = binary.AppendUvarint(b, field<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}
