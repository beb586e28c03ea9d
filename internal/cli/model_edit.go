package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sr3-go/sr3/model"
)

func newModelEdit(s *streams) *cobra.Command {
	var output, card, dtype string
	var sets []string
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "edit MODEL -o FILE.safetensors [--set key=value] [--card FILE.md]",
		Short: "Change a model's defaults, description or card",
		Long: `edit writes a copy of a model with another configuration or card; the weights stay.
Keys are those of the configuration that "sr3 model show --json" prints, joined by
dots; values are JSON, and what is not is text. Unknown keys are errors.`,
		Example: `  sr3 model edit runs/mine/model.safetensors -o mine.safetensors --set inference.sampler=ddim --set inference.steps=10
  sr3 model edit mine.safetensors -o softer.safetensors --set inference.schedule.gamma_max=0.98
  sr3 model edit mine.safetensors -o named.safetensors --set name=mine --set licence=CC0-1.0 --card CARD.md`,
		Args: nArgs(1, "one model"),
		RunE: func(_ *cobra.Command, args []string) error {
			m, as, err := openForCopy(args[0], output, dtype, overwrite)
			if err != nil {
				return err
			}
			recorded, use := m.CheckRecord() == nil, m.Config.TrainedFor
			if m.Config, err = editConfig(m.Config, sets); err != nil {
				return err
			}
			if recorded { // name, licence and what it is for stand in the card too
				record := *m.Record
				if m.Config.TrainedFor != use {
					record.Use = m.Config.TrainedFor
				}
				if err := m.SetRecord(record); err != nil {
					return err
				}
			}
			text, err := readOptional(card)
			if err != nil {
				return err
			}
			if text != nil {
				m.Card = string(text)
			}
			return saveModel(s, m, output, as)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write")
	cmd.Flags().StringArrayVar(&sets, "set", nil, "a change, as in --set inference.steps=10; may be repeated")
	cmd.Flags().StringVar(&card, "card", "", "Markdown file that becomes the card")
	addCopyType(cmd.Flags(), &dtype, "")
	cmd.Flags().BoolVar(&overwrite, "overwrite", false, "replace a file that exists")
	return cmd
}

// editConfig applies changes of the form a.b.c=value to the JSON of a
// configuration and reads the result as strictly as a file.
func editConfig(c model.Config, sets []string) (model.Config, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	tree := map[string]any{}
	if err := json.Unmarshal(text, &tree); err != nil {
		return c, err
	}
	for _, set := range sets {
		key, value, ok := strings.Cut(set, "=")
		if !ok {
			return c, usagef("--set %s: want key=value", set)
		}
		if err := setPath(tree, strings.Split(key, "."), value); err != nil {
			return c, usagef("--set %s: %v", set, err)
		}
	}
	if text, err = json.Marshal(tree); err != nil {
		return c, err
	}
	return model.ParseConfig(text)
}

// setPath sets the value at a path, making the objects on the way.
func setPath(tree map[string]any, path []string, value string) error {
	for _, key := range path[:len(path)-1] {
		next, ok := tree[key].(map[string]any)
		if !ok {
			if tree[key] != nil {
				return fmt.Errorf("%s is not a section", key)
			}
			next = map[string]any{}
			tree[key] = next
		}
		tree = next
	}
	var v any
	if json.Unmarshal([]byte(value), &v) != nil {
		v = value
	}
	tree[path[len(path)-1]] = v
	return nil
}
