"""The classic network in PyTorch, with the weights of an sr3 model file.

    python3 torch_unet.py MODEL.safetensors [--threads 2] [--batch 1] [--runs 5] [--train]
        times calls, or training steps (forward, backward, Adam), on random input
        and prints one JSON object
    python3 torch_unet.py MODEL.safetensors --in x=FILE.f32 --in gamma=FILE.f32 --out FILE.f32
        runs it once on raw little-endian float32 files, [N,6,H,W] and [N,1]

MODEL is written by "sr3 model new faces16-128" or "sr3 model export --dtype f32"; the
family must be classic. Layers are functions of the parameters' names; unet/classic.go
is what they follow.
"""
import argparse
import json
import math
import re
import struct
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit("torch_unet.py: this Python has no PyTorch; get it with: apt-get install --no-install-recommends python3-torch")


def read_model(path):
    """Returns the network's configuration and its parameters, in PyTorch's layout."""
    kinds = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    params = {}
    with open(path, "rb") as f:
        start = 8 + struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(start - 8))
        config = json.loads(header.pop("__metadata__")["sr3.model"])["network"]
        if config["family"] != "classic":
            sys.exit(f"torch_unet.py: {path} is of family {config['family']}; only classic is defined here")
        for name, t in header.items():  # one tensor at a time, so that the file is not in memory beside them
            begin, end = t["data_offsets"]
            f.seek(start + begin)
            x = torch.frombuffer(bytearray(f.read(end - begin)), dtype=kinds[t["dtype"]]).reshape(t["shape"]).float()
            axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(x.dim())
            params[name] = (x.permute(axes) if axes else x).contiguous()
    return config, params


class Network:
    """The U-Net: call it with x [N,6,H,W] and the noise level gamma [N,1]."""

    def __init__(self, config, params):
        self.config, self.p, self.training = config, params, False

    def conv(self, name, x, stride=1):
        w = self.p[name + ".weight"]
        return F.conv2d(x, w, self.p.get(name + ".bias"), stride, w.shape[-1] // 2)

    def linear(self, name, x):
        return F.linear(x, self.p[name + ".weight"], self.p[name + ".bias"])

    def norm(self, name, x):
        return F.group_norm(x, self.config["groups"], self.p[name + ".weight"], self.p[name + ".bias"])

    def block(self, name, x, dropout=0.0):
        h = F.silu(self.norm(name + ".block.0", x))
        return self.conv(name + ".block.3", F.dropout(h, dropout, self.training) if dropout else h)

    def attention(self, name, x):
        n, c, h, w = x.shape
        q, k, v = self.conv(name + ".qkv", self.norm(name + ".norm", x)).flatten(2).chunk(3, dim=1)
        weights = torch.bmm(q.transpose(1, 2) / math.sqrt(c), k).softmax(-1)
        return x + self.conv(name + ".out", torch.bmm(v, weights.transpose(1, 2)).view(n, c, h, w))

    def stage(self, name, x, emb):
        """A residual block and, where it has parameters, attention."""
        res = name + ".res_block"
        h = self.block(res + ".block1", x)
        h = h + self.linear(res + ".noise_func.noise_func.0", emb)[:, :, None, None]
        h = self.block(res + ".block2", h, self.config["dropout"])
        h = h + (self.conv(res + ".res_conv", x) if res + ".res_conv.weight" in self.p else x)
        return self.attention(name + ".attn", h) if name + ".attn.qkv.weight" in self.p else h

    def embedding(self, gamma):
        half = self.config["channels"] // 2
        angle = gamma * 1e4 ** (-torch.arange(half, dtype=torch.float32) / half)
        h = F.silu(self.linear("noise_level_mlp.1", torch.cat((angle.sin(), angle.cos()), 1)))
        return self.linear("noise_level_mlp.3", h)

    def layers(self, side):
        """How many layers the list "downs" or "ups" has."""
        return 1 + max(int(m[1]) for m in (re.match(side + r"\.(\d+)\.", name) for name in self.p) if m)

    def __call__(self, x, gamma):
        emb = self.embedding(gamma)
        skips = []
        for i in range(self.layers("downs")):
            name = f"downs.{i}"
            if name + ".weight" in self.p:
                x = self.conv(name, x)
            elif name + ".conv.weight" in self.p:
                x = self.conv(name + ".conv", x, 2)
            else:
                x = self.stage(name, x, emb)
            skips.append(x)
        for i in range(2):
            x = self.stage(f"mid.{i}", x, emb)
        for i in range(self.layers("ups")):
            name = f"ups.{i}"
            if name + ".conv.weight" in self.p:
                x = self.conv(name + ".conv", F.interpolate(x, scale_factor=2, mode="nearest"))
            else:
                x = self.stage(name, torch.cat((x, skips.pop()), 1), emb)
        return self.block("final_conv", x)


def train_step(net, optimizer, x, gamma):
    """Forward, the sum of absolute differences from the condition, backward, Adam."""
    optimizer.zero_grad(set_to_none=True)
    (net(x, gamma) - x[:, :3]).abs().sum().backward()
    optimizer.step()


def peak_mib():
    """The largest resident memory of this process."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1024


def run_once(net, args):
    given = {}
    for name, path in (entry.split("=", 1) for entry in args.input):
        with open(path, "rb") as f:
            given[name] = torch.frombuffer(bytearray(f.read()), dtype=torch.float32)
    gamma = given["gamma"].reshape(-1, 1)
    side = math.isqrt(given["x"].numel() // (6 * len(gamma)))
    with torch.inference_mode():
        out = net(given["x"].reshape(len(gamma), 6, side, side), gamma)
    with open(args.out, "wb") as f:
        f.write(out.contiguous().numpy().tobytes())


def measure(net, args):
    side = args.side or net.config["image_size"]
    x, gamma = torch.randn(args.batch, net.config["in_channels"], side, side), torch.rand(args.batch, 1)
    if args.channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    if args.train:
        net.training = True
        leaves = [p.requires_grad_() for p in net.p.values()]
        optimizer = torch.optim.Adam(leaves, 1e-4)
        run = lambda: train_step(net, optimizer, x, gamma)
    else:
        run = lambda: net(x, gamma)
    times = []
    with torch.inference_mode(not args.train):
        for i in range(args.runs + 1):
            start = time.perf_counter()
            run()
            if i > 0:  # the first run is not counted
                times.append(time.perf_counter() - start)
    print(json.dumps({"program": "pytorch " + torch.__version__, "threads": args.threads, "batch": args.batch, "side": side,
                      "train": args.train, "median_s": sorted(times)[len(times) // 2], "min_s": min(times),
                      "peak_rss_mib": peak_mib()}))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--side", type=int, help="side of the images, if not what the network is made for")
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--train", action="store_true")
    p.add_argument("--channels-last", action="store_true", help="keep images and weights with channels last in memory")
    p.add_argument("--in", dest="input", action="append", default=[], metavar="NAME=FILE")
    p.add_argument("--out", metavar="FILE")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    net = Network(*read_model(args.model))
    if args.channels_last:
        net.p = {k: v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v for k, v in net.p.items()}
    if args.out:
        run_once(net, args)
    else:
        measure(net, args)


if __name__ == "__main__":
    main()
