package nets

// LoadSmall loads a network of testdata for tests outside of the package.
func LoadSmall(kind Kind, path string) (*Network, error) { return load(small(kind), path) }

// LoadSmallLPIPS is LoadSmall for LPIPS.
func LoadSmallLPIPS(kind Kind, weights, heads string) (*LPIPS, error) {
	l, err := loadLPIPSNetwork(small(kind), weights)
	if err != nil {
		return nil, err
	}
	return l, l.loadHeads(heads)
}
