package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Number is a measured value. JSON has no infinity: that of the PSNR of identical
// images is the string "inf". NaN stands for no value and is null.
type Number float64

// none is the Number that stands for no value.
func none() Number { return Number(math.NaN()) }

// Valid reports whether there is a value; infinity is one.
func (n Number) Valid() bool { return !math.IsNaN(float64(n)) }

// Finite reports whether there is a value other than infinity.
func (n Number) Finite() bool { return n.Valid() && !math.IsInf(float64(n), 0) }

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	switch f := float64(n); {
	case math.IsNaN(f):
		return []byte("null"), nil
	case math.IsInf(f, 1):
		return []byte(`"inf"`), nil
	case math.IsInf(f, -1):
		return []byte(`"-inf"`), nil
	default:
		return json.Marshal(f)
	}
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "null":
		*n = none()
	case `"inf"`:
		*n = Number(math.Inf(1))
	case `"-inf"`:
		*n = Number(math.Inf(-1))
	default:
		f, err := strconv.ParseFloat(string(data), 64)
		if err != nil {
			return fmt.Errorf("want a number or \"inf\", not %.20s", data)
		}
		*n = Number(f)
	}
	return nil
}

// text writes a value with a number of decimals.
func (n Number) text(digits int) string {
	switch {
	case !n.Valid():
		return "–"
	case math.IsInf(float64(n), 1):
		return "∞"
	}
	return strconv.FormatFloat(float64(n), 'f', digits, 64)
}
