package eval

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
)

// maxLabels bounds a file of labels: ImageNet's validation set has 50000 images.
const maxLabels = 64 << 20

// ReadLabels reads the true classes of images from a JSON file: an object of class
// indices by image name, or a list of objects with "file" and "class_index" (what
// else they have is ignored). Names may have extensions; the result has none. A
// name with two classes, a class below 0 and a file without labels are errors.
func ReadLabels(file string) (map[string]int, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	if info.Size() > maxLabels {
		return nil, fmt.Errorf("read labels: %s: %d MB are more than labels need", file, info.Size()>>20)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	labels, err := parseLabels(data)
	if err != nil {
		return nil, fmt.Errorf("read labels: %s: %w", file, err)
	}
	return labels, nil
}

const labelsWanted = `want {"NAME.png": CLASS, ...} or [{"file": "NAME.png", "class_index": CLASS}, ...]`

func parseLabels(data []byte) (map[string]int, error) {
	type entry struct {
		File  string `json:"file"`
		Class *int   `json:"class_index"`
	}
	var list []entry
	var byName map[string]*int
	listErr := json.Unmarshal(data, &list)
	if listErr != nil {
		if err := json.Unmarshal(data, &byName); err != nil {
			return nil, fmt.Errorf("%w; %s", err, labelsWanted)
		}
	}
	for name, class := range byName {
		list = append(list, entry{name, class})
	}
	labels := make(map[string]int, len(list))
	for _, e := range list {
		if e.File == "" || e.Class == nil || *e.Class < 0 {
			return nil, fmt.Errorf("an entry (%q) has no name, or no class of 0 or more; %s", e.File, labelsWanted)
		}
		name := strings.TrimSuffix(e.File, path.Ext(e.File))
		if known, ok := labels[name]; ok && known != *e.Class {
			return nil, fmt.Errorf("%s has the classes %d and %d", name, known, *e.Class)
		}
		labels[name] = *e.Class
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("no labels; %s", labelsWanted)
	}
	return labels, nil
}
