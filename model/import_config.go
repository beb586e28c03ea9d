package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/sr3-go/sr3/diffusion"
)

// foreignConfig is the training configuration of the PyTorch implementation, as
// far as it says something about the network. Nil means that it does not say.
type foreignConfig struct {
	which       string // "sr3" or "ddpm"; empty means not said
	in, out     *int
	channels    *int
	multipliers []int
	blocks      *int
	attention   *[]int
	groups      *int
	groupsNull  bool // a unet section without norm_groups, for which it takes 32
	dropout     *float64
	imageSize   *int
	scale       int
	train, val  *diffusion.ScheduleConfig
}

// defaultForeignGroups is what the PyTorch implementation takes for norm_groups
// when a configuration does not say.
const defaultForeignGroups = 32

// whole is a JSON number that must be integral, also when written as 1e4.
type whole int

// UnmarshalJSON implements json.Unmarshaler.
func (w *whole) UnmarshalJSON(data []byte) error {
	var f float64
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<31 {
		return fmt.Errorf("%s is not a whole number", data)
	}
	*w = whole(f)
	return nil
}

func (w *whole) int() *int {
	if w == nil {
		return nil
	}
	v := int(*w)
	return &v
}

// foreignModel is the part of the JSON that stands under "model", or at the top.
type foreignModel struct {
	Which string `json:"which_model_G"`
	UNet  *struct {
		In          *whole   `json:"in_channel"`
		Out         *whole   `json:"out_channel"`
		Channels    *whole   `json:"inner_channel"`
		Groups      *whole   `json:"norm_groups"`
		Multipliers []whole  `json:"channel_multiplier"`
		Attention   *[]whole `json:"attn_res"`
		Blocks      *whole   `json:"res_blocks"`
		Dropout     *float64 `json:"dropout"`
	} `json:"unet"`
	Beta      *foreignBeta `json:"beta_schedule"`
	ImageSize *whole       `json:"image_size"`
	Diffusion struct {
		ImageSize *whole `json:"image_size"`
	} `json:"diffusion"`
}

// foreignBeta is one schedule, or one for training and one for validation.
type foreignBeta struct {
	foreignSchedule
	Train *foreignSchedule `json:"train"`
	Val   *foreignSchedule `json:"val"`
}

type foreignSchedule struct {
	Kind  string  `json:"schedule"`
	Steps whole   `json:"n_timestep"`
	Start float64 `json:"linear_start"`
	End   float64 `json:"linear_end"`
}

func (s foreignSchedule) config() *diffusion.ScheduleConfig {
	c := &diffusion.ScheduleConfig{Kind: s.Kind, Steps: int(s.Steps)}
	switch s.Kind {
	case diffusion.KindJSD, diffusion.KindCosine:
	case diffusion.KindConst:
		c.End = s.End
	default:
		c.Start, c.End = s.Start, s.End
	}
	return c
}

// parseForeignConfig reads a training configuration: JSON in which // starts a
// comment, with the network under "model" or at the top.
func parseForeignConfig(data []byte) (*foreignConfig, error) {
	if len(data) > maxConfig {
		return nil, fmt.Errorf("config: %d bytes, the limit is %d", len(data), maxConfig)
	}
	var file struct {
		foreignModel
		Model    *foreignModel `json:"model"`
		Datasets struct {
			Train struct {
				Low  *whole `json:"l_resolution"`
				High *whole `json:"r_resolution"`
			} `json:"train"`
		} `json:"datasets"`
	}
	if err := json.Unmarshal(stripComments(data), &file); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	m := &file.foreignModel
	if file.Model != nil {
		m = file.Model
	}
	if m.UNet == nil {
		return nil, errors.New(`config: no "unet", at the top or under "model"; give the configuration that the network was trained with`)
	}
	c := m.config()
	if low, high := file.Datasets.Train.Low.int(), file.Datasets.Train.High.int(); low != nil && high != nil && *low > 0 && *high%*low == 0 {
		c.scale = *high / *low
	}
	return c, nil
}

func (m *foreignModel) config() *foreignConfig {
	c := &foreignConfig{
		which: m.Which, in: m.UNet.In.int(), out: m.UNet.Out.int(), channels: m.UNet.Channels.int(),
		blocks: m.UNet.Blocks.int(), groups: m.UNet.Groups.int(), dropout: m.UNet.Dropout, imageSize: m.ImageSize.int(),
	}
	if c.imageSize == nil {
		c.imageSize = m.Diffusion.ImageSize.int()
	}
	c.groupsNull = c.groups == nil
	for _, v := range m.UNet.Multipliers {
		c.multipliers = append(c.multipliers, int(v))
	}
	if m.UNet.Attention != nil {
		list := []int{}
		for _, v := range *m.UNet.Attention {
			list = append(list, int(v))
		}
		c.attention = &list
	}
	if b := m.Beta; b != nil {
		switch {
		case b.Train != nil:
			c.train = b.Train.config()
		case b.Kind != "":
			c.train = b.config()
		}
		if b.Val != nil {
			c.val = b.Val.config()
		}
	}
	return c
}

// stripComments blanks what follows // on a line, outside strings.
func stripComments(data []byte) []byte {
	out := make([]byte, 0, len(data))
	inString, inComment := false, false
	for i := 0; i < len(data); i++ {
		b := data[i]
		switch {
		case inComment:
			inComment = b != '\n'
			if inComment {
				continue
			}
		case inString && b == '\\' && i+1 < len(data):
			out = append(out, b)
			i++
			b = data[i]
		case b == '"':
			inString = !inString
		case !inString && b == '/' && i+1 < len(data) && data[i+1] == '/':
			inComment = true
			continue
		}
		out = append(out, b)
	}
	return out
}
