package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"
)

// unpickle interprets one pickle that scanPickle has accepted. Persistent ids,
// which stand for storages, are resolved by load.
func unpickle(data []byte, load func(id any) (any, error)) (obj any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed pickle: %.200v", p)
		}
		if err != nil && len(err.Error()) > 500 {
			err = fmt.Errorf("malformed pickle: %.500s", err.Error())
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(data))
	u.FindClass = pickleGlobal
	u.PersistentLoad = load
	return u.Load()
}

// pickleGlobal resolves the names that a state dict is made of.
func pickleGlobal(module, name string) (any, error) {
	switch module + "." + name {
	case "collections.OrderedDict":
		return &types.OrderedDictClass{}, nil
	case "torch.Size":
		return callable(onlyArg), nil
	case "torch._utils._rebuild_parameter":
		return callable(rebuildParameter), nil
	case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2":
		return callable(rebuildTensor), nil
	}
	if d, ok := storageTypes()[name]; ok && (module == "torch" || module == "torch.cuda") {
		return d, nil
	}
	return nil, &ForeignGlobalError{module, name}
}

// storageTypes maps PyTorch's storage classes to element types.
func storageTypes() map[string]DType {
	return map[string]DType{
		"FloatStorage": F32, "HalfStorage": F16, "BFloat16Storage": BF16, "DoubleStorage": F64,
		"LongStorage": I64, "IntStorage": I32, "ShortStorage": I16, "CharStorage": I8, "ByteStorage": U8, "BoolStorage": Bool,
	}
}

// callable adapts a function to what the unpickler calls for REDUCE.
type callable func(args []any) (any, error)

// Call implements types.Callable.
func (c callable) Call(args ...any) (any, error) { return c(args) }

func onlyArg(args []any) (any, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("want one argument, got %d", len(args))
	}
	return args[0], nil
}

// rebuildParameter takes (tensor, requires_grad, hooks).
func rebuildParameter(args []any) (any, error) {
	if len(args) != 3 {
		return nil, fmt.Errorf("parameter of %d arguments, want 3", len(args))
	}
	if _, ok := args[0].(*view); !ok {
		return nil, errors.New("parameter that is not made of a tensor")
	}
	return args[0], nil
}

// storage is a block of elements somewhere in the file.
type storage struct {
	dtype DType
	key   string
	len   int // elements
}

// view is a tensor as PyTorch describes it: offset and strides, in elements,
// into a storage.
type view struct {
	storage *storage
	offset  int
	shape   []int
	strides []int
}

// rebuildTensor takes (storage, offset, size, stride, ...); what follows says
// nothing about the values.
func rebuildTensor(args []any) (any, error) {
	if len(args) < 4 || len(args) > 7 {
		return nil, fmt.Errorf("tensor of %d arguments, want 4 to 7", len(args))
	}
	s, ok1 := args[0].(*storage)
	offset, ok2 := args[1].(int)
	shape, err1 := intTuple(args[2])
	strides, err2 := intTuple(args[3])
	if err := errors.Join(err1, err2); err != nil || !ok1 || !ok2 || len(shape) != len(strides) {
		return nil, errors.New("tensor with malformed storage, offset, size or stride")
	}
	v := &view{s, offset, shape, strides}
	return v, v.check()
}

// check refuses views that reach outside their storage.
func (v *view) check() error {
	if _, err := byteSize(v.storage.dtype, v.shape); err != nil {
		return err
	}
	if v.offset < 0 || v.offset > v.storage.len {
		return fmt.Errorf("tensor offset %d outside its storage of %d elements", v.offset, v.storage.len)
	}
	if slices.Contains(v.shape, 0) {
		return nil
	}
	last := v.offset
	for i, n := range v.shape {
		if v.strides[i] < 0 {
			return fmt.Errorf("tensor with negative stride %d", v.strides[i])
		}
		if n == 1 || v.strides[i] == 0 {
			continue
		}
		if room := v.storage.len - last; v.strides[i] > room/(n-1) {
			return fmt.Errorf("tensor of size %v and stride %v reaches outside its storage of %d elements", v.shape, v.strides, v.storage.len)
		}
		last += (n - 1) * v.strides[i]
	}
	if last >= v.storage.len {
		return fmt.Errorf("tensor of size %v reaches outside its storage of %d elements", v.shape, v.storage.len)
	}
	return nil
}

// contiguous tells whether the elements lie in row-major order without gaps.
func (v *view) contiguous() bool {
	want := 1
	for i := len(v.shape) - 1; i >= 0; i-- {
		if v.shape[i] != 1 && v.strides[i] != want {
			return false
		}
		want *= v.shape[i]
	}
	return true
}

// gather copies the elements of v out of the bytes of its storage.
func (v *view) gather(dst, src []byte) {
	size := v.storage.dtype.Size()
	index := make([]int, len(v.shape))
	from := v.offset
	for at := 0; at < len(dst); at += size {
		copy(dst[at:at+size], src[from*size:])
		for i := len(index) - 1; i >= 0; i-- {
			index[i]++
			from += v.strides[i]
			if index[i] < v.shape[i] {
				break
			}
			from -= v.shape[i] * v.strides[i]
			index[i] = 0
		}
	}
}

func intTuple(obj any) ([]int, error) {
	t, ok := obj.(*types.Tuple)
	if !ok || t.Len() > maxRank {
		return nil, errors.New("not a short tuple")
	}
	out := make([]int, t.Len())
	for i := range out {
		if out[i], ok = t.Get(i).(int); !ok {
			return nil, errors.New("not a tuple of integers")
		}
	}
	return out, nil
}

// storageID reads the persistent id ("storage", type, key, location, length),
// to which the old format appends the view of another storage, or None.
func storageID(id any) (*storage, error) {
	t, ok := id.(*types.Tuple)
	if !ok || t.Len() < 5 || t.Len() > 6 || t.Get(0) != any("storage") {
		return nil, errors.New("malformed reference to a storage")
	}
	dtype, ok1 := t.Get(1).(DType)
	key, ok2 := t.Get(2).(string)
	n, ok3 := t.Get(4).(int)
	if !ok1 || !ok2 || !ok3 || n < 0 {
		return nil, errors.New("malformed reference to a storage")
	}
	if t.Len() == 6 && t.Get(5) != nil {
		return nil, errors.New("a storage is a view of another, which only PyTorch before 0.4 wrote; load and save it again with a newer one")
	}
	if _, err := byteSize(dtype, []int{n}); err != nil {
		return nil, err
	}
	return &storage{dtype, key, n}, nil
}

// isMagic tells whether obj is the number that starts the old stream format.
func isMagic(obj any) bool {
	n, ok := obj.(*big.Int)
	return ok && n.Text(16) == "1950a86a20f9469cfc6c"
}
