package netfile

import (
	"errors"
	"fmt"
)

// CaffeLayer is a layer of a .caffemodel that has weights.
type CaffeLayer struct {
	Name  string
	Blobs []*CaffeBlob // weights, then the bias
}

// CaffeBlob is a stored array, not decoded.
type CaffeBlob struct {
	// Shape is the extent along each axis. Files of the old format have four axes
	// always, the missing ones first and of extent 1.
	Shape []int64
	raw   []byte
	width int // bytes of an element
}

// The fields of NetParameter that hold layers. Before 2014 a layer was a
// V1LayerParameter, whose fields have other numbers.
const (
	caffeLayersV1 = 2
	caffeLayers   = 100
)

// ParseCaffe reads the layers with weights from the wire format of a
// NetParameter. They keep data.
func ParseCaffe(data []byte) ([]*CaffeLayer, error) {
	var layers []*CaffeLayer
	seen := 0
	err := fields(data, func(f field) error {
		if f.number != caffeLayersV1 && f.number != caffeLayers {
			return nil
		}
		if seen++; seen > maxNodes {
			return fmt.Errorf("more than %d layers", maxNodes)
		}
		name, blobs := 1, 7
		if f.number == caffeLayersV1 {
			name, blobs = 4, 6
		}
		l := &CaffeLayer{}
		if err := f.message(func(f field) error { return l.field(f, name, blobs) }); err != nil {
			return err
		}
		if len(l.Blobs) > 0 {
			layers = append(layers, l)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("not a Caffe model: %w", err)
	}
	if len(layers) == 0 {
		return nil, errors.New("not a Caffe model: no layer has weights")
	}
	return layers, nil
}

// field takes one field of a layer whose name and blobs have the given numbers.
func (l *CaffeLayer) field(f field, name, blobs int) error {
	switch int(f.number) {
	case name:
		return f.setText(&l.Name)
	case blobs:
		if len(l.Blobs) == maxEntries {
			return fmt.Errorf("more than %d blobs in a layer", maxEntries)
		}
		b := &CaffeBlob{}
		l.Blobs = append(l.Blobs, b)
		return b.parse(f)
	}
	return nil
}

// parse reads a BlobProto.
func (b *CaffeBlob) parse(message field) error {
	old := []int64{1, 1, 1, 1} // num, channels, height, width
	isOld := false
	err := message.message(func(f field) error {
		switch f.number {
		case 1, 2, 3, 4:
			old[f.number-1], isOld = int64(f.varint), true
		case 5:
			return b.elements(f, 4)
		case 8: // double_data
			return b.elements(f, 8)
		case 7: // shape
			return f.message(func(f field) error {
				if f.number == 1 {
					return f.appendInts(&b.Shape)
				}
				return nil
			})
		}
		return nil
	})
	if isOld && b.Shape == nil {
		b.Shape = old
	}
	return err
}

// elements takes a packed list of numbers.
func (b *CaffeBlob) elements(f field, width int) error {
	if f.kind != bytesType || b.raw != nil {
		return errors.New("the numbers of a blob are not one packed list; save the model again with Caffe")
	}
	b.raw, b.width = f.bytes, width
	return nil
}

// Float32s decodes a blob, whose shape must be the given one but for leading axes
// of extent 1, and whose elements must be finite.
func (b *CaffeBlob) Float32s(shape ...int) ([]float32, error) {
	size := 1
	for _, d := range shape {
		size *= d
	}
	if !b.fits(shape) {
		return nil, fmt.Errorf("shape %v, want %v", b.Shape, shape)
	}
	if b.raw == nil {
		return nil, errors.New("it has no numbers")
	}
	return decodeFloats(b.raw, b.width, size)
}

func (b *CaffeBlob) fits(shape []int) bool {
	extra := len(b.Shape) - len(shape)
	if extra < 0 {
		return false
	}
	for i, d := range b.Shape {
		if i < extra && d != 1 || i >= extra && d != int64(shape[i-extra]) {
			return false
		}
	}
	return true
}
