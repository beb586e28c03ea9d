package kernel

// table holds the kernels of one tier. The program has one, chosen at start.
type table struct {
	tier   Tier
	mr, nr int
}

// goTable is the plain Go tier: the specification itself.
var goTable = &table{
	tier: TierGo, mr: goMR, nr: goNR,
}
