package eval

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"

	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/distribution"
	"github.com/sr3-go/sr3/metric/nets"
)

// Weights is a file that a network was loaded from.
type Weights struct {
	Path   string
	Digest string // SHA-256 in hexadecimal digits
	// Published says that it is the file that published figures are computed with.
	Published bool
}

// String names the file for the notes of a table.
func (w Weights) String() string {
	text := fmt.Sprintf("%s, SHA-256 %s", filepath.Base(w.Path), w.Digest[:min(12, len(w.Digest))])
	if w.Published {
		return text + ", as published"
	}
	return text + ", not known as a published file"
}

// LPIPS is the learned perceptual distance on a network. Computed with other files
// than the published ones it gets another name.
func LPIPS(kind nets.Kind, l *nets.LPIPS, weights, heads Weights) Measure {
	c := Column{Key: "lpips_" + string(kind), Title: "LPIPS (" + string(kind) + ")", Digits: 4, Perceptual: true,
		Version: keyOf(weights.Digest, heads.Digest), Weights: weights.String() + "; " + heads.String(),
		About: "Learned perceptual image patch similarity, version 0.1 (Zhang et al. 2018), on " + string(kind) + "."}
	if !weights.Published || !heads.Published {
		c.Key, c.Title = "learned_distance_"+string(kind), "Learned distance in the form of LPIPS ("+string(kind)+")"
		c.About += " At least one of its files is not known as a published one, so it is not called LPIPS."
	}
	return Measure{c, func(p *Pair) (float64, error) { return l.Distance(p.HR, p.SR, p.Threads) }}
}

// InceptionMeasures are FID, KID and IS. What the network says of an image is
// computed once and kept in the folder dir, by the image's pixels and the network's
// weights, so that a later run has it. Computed with another file than the
// published one the measures get other names.
func InceptionMeasures(n *nets.Network, w Weights, dir string) []SetMeasure {
	in := &inceptionSets{network: n, store: featureStore{dir: filepath.Join(dir, w.Digest[:min(16, len(w.Digest))])}}
	keys, titles := []string{"fid", "kid", "inception_score"}, []string{"FID", "KID", "IS"}
	caution := ""
	if !w.Published {
		keys = []string{"inception_frechet_distance", "inception_kernel_distance", "inception_divergence_score"}
		titles = []string{"Inception Frechet distance", "Inception kernel distance", "Inception divergence score"}
		caution = " The file of weights is not known as the published one, so it is not called " // the custom name follows
	}
	column := func(k int, custom, about string) Column {
		if caution != "" {
			about += caution + custom + "."
		}
		return Column{Key: keys[k], Title: titles[k], Digits: 2, Perceptual: true, Version: w.Digest, Weights: w.String(), About: about}
	}
	fid := column(0, "FID", "Frechet distance (Heusel et al. 2017) of the results from the truths, on 2048 features of Inception-v3, images resized to 299 pixels by bilinear interpolation as pytorch-fid does.")
	fid.Vectors = n.Kind().Features()
	kid := column(1, "KID", "Kernel distance (Binkowski et al. 2018) on the same features: cubic kernel, unbiased, all pairs, not times 1000; may be below 0.")
	kid.Digits = 5
	is := column(2, "IS", fmt.Sprintf("Inception score (Salimans et al. 2016) of the results alone, on probabilities without the last layer's bias, as is the custom: the mean over 10 parts in the order of the images, from %d images on; below, all together.", scoreParts*minPart))
	is.HigherIsBetter = true
	return []SetMeasure{{fid, in.distance(distribution.FrechetDistance)}, {kid, in.distance(distribution.KernelDistance)}, {is, in.score}}
}

// The inception score is the mean over parts, if each has as many images.
const scoreParts, minPart = 10, 100

// inceptionSets computes what sets of images are compared by.
type inceptionSets struct {
	network *nets.Network
	store   featureStore
}

// outputs is what the network says of an image.
func (s *inceptionSets) outputs(img metric.Image, threads int) (nets.Outputs, error) {
	key := digestOf(img)
	if out, ok := s.store.read(key); ok {
		return out, nil
	}
	side := s.network.Kind().Side()
	resized, err := nets.Bilinear(img, side, side)
	if err != nil {
		return nets.Outputs{}, err
	}
	out, err := s.network.Run(resized, threads)
	if err != nil {
		return out, err
	}
	return out, s.store.write(key, out)
}

// matrix has a row for each pair.
func (s *inceptionSets) matrix(pairs iter.Seq2[*Pair, error], row func(*Pair) ([]float32, error)) (m distribution.Matrix[float32], err error) {
	for p, err := range pairs {
		if err != nil {
			return m, err
		}
		values, err := row(p)
		if err != nil {
			return m, fmt.Errorf("%s: %w", p.Name, err)
		}
		m.N, m.D, m.Values = m.N+1, len(values), append(m.Values, values...)
	}
	return m, nil
}

// distance compares the features of results with those of truths.
func (s *inceptionSets) distance(of func(a, b distribution.Samples) (float64, error)) func(context.Context, iter.Seq2[*Pair, error]) (float64, error) {
	return func(_ context.Context, pairs iter.Seq2[*Pair, error]) (float64, error) {
		var sets [2]distribution.Matrix[float32]
		for k := range sets {
			var err error
			sets[k], err = s.matrix(pairs, func(p *Pair) ([]float32, error) {
				out, err := s.outputs([]metric.Image{p.HR, p.SR}[k], p.Threads)
				return out.Features, err
			})
			if err != nil {
				return 0, err
			}
		}
		return of(sets[0], sets[1])
	}
}

func (s *inceptionSets) score(_ context.Context, pairs iter.Seq2[*Pair, error]) (float64, error) {
	m, err := s.matrix(pairs, func(p *Pair) ([]float32, error) {
		out, err := s.outputs(p.SR, p.Threads)
		if err != nil {
			return nil, err
		}
		s.network.WithoutBias(out.Logits)
		nets.Softmax(out.Logits, len(out.Logits))
		return out.Logits, nil
	})
	if err != nil {
		return 0, err
	}
	parts := 1
	if m.N >= scoreParts*minPart {
		parts = scoreParts
	}
	score, _, err := distribution.InceptionScore(m, parts)
	return score, err
}
