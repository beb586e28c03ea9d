package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sr3-go/sr3/internal/eval"
	"github.com/sr3-go/sr3/metric"
	"github.com/sr3-go/sr3/metric/nets"
	"github.com/sr3-go/sr3/metric/squeezenet"
)

// squeezenetWeights names the file that the classifier squeezenet wants.
const squeezenetWeights = "SqueezeNet 1.1 of the project SqueezeNet (github.com/forresti/SqueezeNet, squeezenet_v1.1.caffemodel), converted to ONNX"

// networkFlags are the columns of published networks, from files that people bring.
type networkFlags struct {
	inception, classifier, labels string
	lpips                         []string
}

func (f *networkFlags) register(fl *pflag.FlagSet) {
	fl.StringVar(&f.inception, "inception", "", "weights of Inception-v3 as pytorch-fid has them, for FID, KID and IS")
	fl.StringArrayVar(&f.lpips, "lpips", nil, "alex:WEIGHTS,HEADS or vgg:WEIGHTS,HEADS, for LPIPS")
	fl.StringVar(&f.classifier, "classifier", "", "KIND:FILE of a classifier, for its errors; with --labels")
	fl.StringVar(&f.labels, "labels", "", "a JSON file of the images' true classes, for --classifier")
}

// lpipsSpec is what --lpips says.
type lpipsSpec struct {
	kind           nets.Kind
	weights, heads string
}

func parseLPIPS(text string) (lpipsSpec, error) {
	name, files, _ := strings.Cut(text, ":")
	kinds := map[string]nets.Kind{"alex": nets.AlexNet, "alexnet": nets.AlexNet, "vgg": nets.VGG16, "vgg16": nets.VGG16}
	kind, ok := kinds[name]
	if !ok {
		return lpipsSpec{}, usagef("--lpips %q: want alex:WEIGHTS,HEADS or vgg:WEIGHTS,HEADS", text)
	}
	weights, heads, _ := strings.Cut(files, ",")
	if weights == "" || heads == "" {
		return lpipsSpec{}, usagef("--lpips %q: want %s:WEIGHTS,HEADS; WEIGHTS is %s; HEADS is %s", text, name, kind.Weights(), nets.LPIPSHeads(kind))
	}
	return lpipsSpec{kind, weights, heads}, nil
}

// classifierNames are the kinds of --classifier; the empty kind is SqueezeNet 1.1.
var classifierNames = []struct {
	name string
	kind nets.Kind
}{{"resnet50", nets.ResNet50}, {"vgg16", nets.VGG16}, {"mobilenetv2", nets.MobileNetV2}, {"inception", nets.InceptionV3}, {"alexnet", nets.AlexNet}, {"squeezenet", ""}}

func parseClassifier(text string) (kind nets.Kind, file string, err error) {
	name, file, _ := strings.Cut(text, ":")
	var names []string
	for _, c := range classifierNames {
		names = append(names, c.name)
		if c.name != name && string(c.kind) != name {
			continue
		}
		if file == "" {
			return "", "", usagef("--classifier %q: want %s:FILE; FILE is %s", text, name, wanted(c.kind))
		}
		return c.kind, file, nil
	}
	return "", "", usagef("--classifier %q: want KIND:FILE; kinds are %s", text, strings.Join(names, ", "))
}

// wanted names the file of a classifier.
func wanted(kind nets.Kind) string {
	if kind == "" {
		return squeezenetWeights
	}
	return kind.Weights()
}

// check finds what is wrong with the flags before anything is opened.
func (f *networkFlags) check() error {
	seen := map[nets.Kind]bool{}
	for _, text := range f.lpips {
		spec, err := parseLPIPS(text)
		if err != nil {
			return err
		}
		if seen[spec.kind] {
			return usagef("--lpips %q: LPIPS on %s is asked for twice", text, spec.kind)
		}
		seen[spec.kind] = true
	}
	switch {
	case f.classifier == "" && f.labels == "":
		return nil
	case f.classifier == "":
		return usagef("--labels goes with --classifier KIND:FILE")
	case f.labels == "":
		return usagef("--classifier needs --labels FILE.json: the true classes of the images")
	}
	_, _, err := parseClassifier(f.classifier)
	return err
}

// add loads the networks and adds what they measure.
func (f *networkFlags) add(cfg *eval.Config) error {
	for _, text := range f.lpips {
		if err := addLPIPS(cfg, text); err != nil {
			return err
		}
	}
	if f.inception != "" {
		n, err := nets.Load(nets.InceptionFID, f.inception)
		if err != nil {
			return err
		}
		w, err := weightsOf(f.inception, nets.InceptionFID.Published)
		if err != nil {
			return err
		}
		cfg.SetMeasures = append(cfg.SetMeasures, eval.InceptionMeasures(n, w, filepath.Join(cfg.Out, "features"))...)
	}
	if f.classifier == "" {
		return nil
	}
	var err error
	cfg.Classification, err = f.classification()
	return err
}

func addLPIPS(cfg *eval.Config, text string) error {
	spec, err := parseLPIPS(text)
	if err != nil {
		return err
	}
	l, err := nets.LoadLPIPS(spec.kind, spec.weights, spec.heads)
	if err != nil {
		return err
	}
	weights, err := weightsOf(spec.weights, spec.kind.Published)
	if err != nil {
		return err
	}
	heads, err := weightsOf(spec.heads, func(digest string) bool { return nets.LPIPSHeadsPublished(spec.kind, digest) })
	if err != nil {
		return err
	}
	cfg.Measures = append(cfg.Measures, eval.LPIPS(spec.kind, l, weights, heads))
	return nil
}

func weightsOf(path string, published func(digest string) bool) (eval.Weights, error) {
	digest, err := fileDigest(path)
	return eval.Weights{Path: path, Digest: digest, Published: published(digest)}, err
}

// classification loads the classifier and the labels.
func (f *networkFlags) classification() (*eval.Classification, error) {
	kind, file, err := parseClassifier(f.classifier)
	if err != nil {
		return nil, err
	}
	c := &eval.Classification{}
	if c.Labels, err = eval.ReadLabels(f.labels); err != nil {
		return nil, err
	}
	if c.Weights, err = weightsOf(file, kind.Published); err != nil {
		return nil, fmt.Errorf("--classifier: %w; wanted is %s", err, wanted(kind))
	}
	if kind == "" {
		n, err := squeezenet.Load(file)
		if err != nil {
			return nil, fmt.Errorf("%w; wanted is %s", err, squeezenetWeights)
		}
		c.Network, c.Side = "SqueezeNet 1.1", squeezenet.ClassifySide
		c.Classify = func(img metric.Image, _ int) ([]float32, error) { return n.Classify(img) }
		return c, nil
	}
	n, err := nets.Load(kind, file)
	if err != nil {
		return nil, err
	}
	c.Network, c.Side = string(kind), kind.Side()
	c.Classify = func(img metric.Image, threads int) ([]float32, error) { return n.Logits(nets.FromImage(img), threads) }
	return c, nil
}
