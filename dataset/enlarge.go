package dataset

import "fmt"

// enlarge makes the conditions of image i, which is cut to whole low-resolution pixels.
func (s *Set) enlarge(p *photo, i int) (*photo, error) {
	k := s.opt.Scale
	if h, w := p.height/k*k, p.width/k*k; h != p.height || w != p.width {
		p = p.cut(window{0, 0, h, w})
	}
	versions := 1
	if s.opt.Degrade.Active() {
		versions = max(s.opt.Versions, 1)
	}
	for v := range versions {
		c, err := s.version(p, uint64(i)*MaxVersions+uint64(v))
		if err != nil {
			return nil, fmt.Errorf("enlarge: %w", err)
		}
		p.conditions = append(p.conditions, c)
	}
	return p, nil
}

// version makes a condition of a whole image. What is lost on the way is a function of the seed and the number id, as
// it is of the example's number where conditions are made crop by crop.
func (s *Set) version(p *photo, id uint64) (condition, error) {
	c := condition{lost: s.lost(id)}
	low, _, err := s.low(p, window{0, 0, p.height, p.width}, c.lost, id)
	if err != nil {
		return c, err
	}
	if c.pix, err = s.opt.Enlarge(low.pix, low.height, low.width, c.lost); err != nil {
		return c, err
	}
	if len(c.pix) != len(p.pix) {
		return c, fmt.Errorf("%d values for an image of %d", len(c.pix), len(p.pix))
	}
	return c, nil
}
