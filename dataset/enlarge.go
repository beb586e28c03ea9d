package dataset

import (
	"fmt"
	"sync"
)

// enlarge cuts image i to whole low-resolution pixels and gives it its conditions, each to be made when an example needs
// it: an image that is not kept must not pay for those that nobody sees.
func (s *Set) enlarge(p *photo, i int) *photo {
	k := s.opt.Scale
	if h, w := p.height/k*k, p.width/k*k; h != p.height || w != p.width {
		p = p.cut(window{0, 0, h, w})
	}
	for v := range s.versions() {
		p.conditions = append(p.conditions, sync.OnceValues(func() (condition, error) {
			return s.version(p, uint64(i)*MaxVersions+uint64(v))
		}))
	}
	return p
}

// versions is how many conditions an image has; 0 where they are made crop by crop.
func (s *Set) versions() int {
	switch {
	case s.opt.Enlarge == nil:
		return 0
	case s.opt.Degrade.Active():
		return max(s.opt.Versions, 1)
	}
	return 1
}

// version makes a condition of a whole image. What is lost on the way is a function of the seed and the number id, as
// it is of the example's number where conditions are made crop by crop.
func (s *Set) version(p *photo, id uint64) (condition, error) {
	c := condition{lost: s.lost(id)}
	low, _, err := s.low(p, window{0, 0, p.height, p.width}, c.lost, id)
	if err == nil {
		c.pix, err = s.opt.Enlarge(low.pix, low.height, low.width, c.lost)
	}
	if err == nil && len(c.pix) != len(p.pix) {
		err = fmt.Errorf("%d values for an image of %d", len(c.pix), len(p.pix))
	}
	if err != nil {
		return c, fmt.Errorf("enlarge: %w", err)
	}
	return c, nil
}
