"""Makes paper_case.safetensors: a small network of family paper in PyTorch, float64.

Written from the description of ResnetBlockBigGANpp and AttnBlockpp (Song et al., 2021) with NCHW modules, so that
it shares neither layout nor code with the Go package. Run: python3 paper_golden.py
"""
import json
import math
import struct

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
C, MULTS, BLOCKS, SIZE, ATTENTION, GROUPS, SCALE = 8, (1, 2), 1, 8, (4,), 4, 5000.0


def norm(c):
    return nn.GroupNorm(min(c // 4, GROUPS), c, eps=1e-6)


class Block(nn.Module):
    def __init__(self, cin, cout, film, mode):
        super().__init__()
        self.norm1, self.conv1 = norm(cin), nn.Conv2d(cin, cout, 3, padding=1)
        self.embed = nn.Linear(4 * C, 2 * cout if film else cout)
        self.norm2, self.conv2 = norm(cout), nn.Conv2d(cout, cout, 3, padding=1)
        if cin != cout or mode:
            self.shortcut = nn.Conv2d(cin, cout, 1)
        self.film, self.mode = film, mode

    def resample(self, x):
        if self.mode == "half":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.mode == "double" else x

    def forward(self, x, emb):
        h, x = self.resample(F.silu(self.norm1(x))), self.resample(x)
        h, e = self.conv1(h), self.embed(F.silu(emb))[:, :, None, None]
        if self.film:
            scale, shift = e.chunk(2, 1)
            h = F.silu(self.norm2(h) * (1 + scale) + shift)
        else:
            h = F.silu(self.norm2(h + e))
        h = self.conv2(h)
        if hasattr(self, "shortcut"):
            x = self.shortcut(x)
        return (x + h) / math.sqrt(2)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm, self.qkv, self.out = norm(c), nn.Conv2d(c, 3 * c, 1), nn.Conv2d(c, c, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, c, h * w).unbind(1)
        p = torch.softmax(torch.einsum("bci,bcj->bij", q, k) * c ** -0.5, -1)
        return (x + self.out(torch.einsum("bij,bcj->bci", p, v).reshape(b, c, h, w))) / math.sqrt(2)


class UNet(nn.Module):
    def __init__(self, film):
        super().__init__()
        m = self.m = nn.ModuleDict()

        def add(name, module):
            m[name.replace(".", "/")] = module

        add("embed.0", nn.Linear(C, 4 * C))
        add("embed.1", nn.Linear(4 * C, 4 * C))
        add("stem", nn.Conv2d(6, C, 3, padding=1))
        self.down, self.up = [], []
        ch, skips, side = C, [C], SIZE

        def stage(way, name, cin, cout):
            add(name, Block(cin, cout, film, None))
            if side in ATTENTION:
                add(name + ".attention", Attention(cout))
            way.append(name)

        for i, k in enumerate(MULTS):
            for j in range(BLOCKS):
                stage(self.down, f"down.{i}.{j}", ch, C * k)
                ch = C * k
                skips.append(ch)
            if i < len(MULTS) - 1:
                add(f"down.{i}.half", Block(ch, ch, film, "half"))
                self.down.append(f"down.{i}.half")
                skips.append(ch)
                side //= 2
        add("middle.0", Block(ch, ch, film, None))
        add("middle.attention", Attention(ch))
        add("middle.1", Block(ch, ch, film, None))
        for i in reversed(range(len(MULTS))):
            for j in range(BLOCKS + 1):
                stage(self.up, f"up.{i}.{j}", ch + skips.pop(), C * MULTS[i])
                ch = C * MULTS[i]
            if i > 0:
                add(f"up.{i}.double", Block(ch, ch, film, "double"))
                self.up.append(f"up.{i}.double")
                side *= 2
        add("head.norm", norm(ch))
        add("head.conv", nn.Conv2d(ch, 3, 3, padding=1))

    def get(self, name):
        name = name.replace(".", "/")
        return self.m[name] if name in self.m else None

    def forward(self, x, level):
        half = C // 2
        freq = SCALE * torch.exp(-math.log(1e4) * torch.arange(half, dtype=x.dtype) / half)
        a = level[:, None] * freq.float().double()  # the frequencies are kept in float32
        emb = self.get("embed.1")(F.silu(self.get("embed.0")(torch.cat([a.sin(), a.cos()], 1))))
        x = self.get("stem")(x)
        skips = [x]

        def stage(x, name):
            x = self.get(name)(x, emb)
            attention = self.get(name + ".attention")
            return attention(x) if attention is not None else x

        for name in self.down:
            x = stage(x, name)
            skips.append(x)
        x = self.get("middle.1")(self.get("middle.attention")(self.get("middle.0")(x, emb)), emb)
        for name in self.up:
            x = stage(x if name.endswith("double") else torch.cat([x, skips.pop()], 1), name)
        return self.get("head.conv")(F.silu(self.get("head.norm")(x)))


def main():
    out = {}
    for film in (False, True):
        net = UNet(film)
        for p in net.parameters():
            nn.init.normal_(p, 0.0, 0.2)
        net.double()
        x, level = torch.randn(2, 6, SIZE, SIZE).double(), torch.rand(2).double()
        prefix = "film." if film else "shift."
        eps = net(x, level)
        for name, t in {"x": x, "level": level, "eps": eps}.items():
            out[prefix + name] = t
        for name, t in net.state_dict().items():
            out[prefix + "p." + name.removeprefix("m.").replace("/", ".")] = t
    header, blobs, at = {}, [], 0
    for name, t in out.items():
        raw = t.detach().float().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open("paper_case.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


main()
