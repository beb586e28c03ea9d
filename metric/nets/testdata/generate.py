"""Writes the files of this folder with PyTorch: every network at a fraction of its
width, with drawn weights in float16, and what PyTorch computes from them in float64.

    python3 generate.py

The architectures stand here once more, in PyTorch's own modules and with the names
that torchvision, pytorch-fid and lpips give them. Written with PyTorch 1.13.
"""

import json
import os

import torch
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES = 10
HIDDEN = 32


def image(n, h, w):
    """The test images, 8 bits, [n, 3, h, w]: the same formula as in the Go test."""
    i, c, y, x = torch.meshgrid(torch.arange(n), torch.arange(3), torch.arange(h), torch.arange(w), indexing="ij")
    smooth = (x * (3 + i) // 2 + y * (2 + c)) % 192
    rough = (x * 7919 + y * 104729 + c * 31 + i * 977 + (x * y) % 101 * 13) % 64
    return (smooth + rough).to(torch.float64)


class BasicConv2d(nn.Module):
    def __init__(self, i, o, **k):
        super().__init__()
        self.conv = nn.Conv2d(i, o, bias=False, **k)
        self.bn = nn.BatchNorm2d(o, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, fid, div):
        super().__init__()
        self.fid = fid
        r = lambda c: c // div
        C = lambda i, o, k, **a: BasicConv2d(i, r(o), kernel_size=k, **a)
        self.Conv2d_1a_3x3 = C(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = C(r(32), 32, 3)
        self.Conv2d_2b_3x3 = C(r(32), 64, 3, padding=1)
        self.Conv2d_3b_1x1 = C(r(64), 80, 1)
        self.Conv2d_4a_3x3 = C(r(80), 192, 3)
        for name, i, pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
            m, i = nn.Module(), r(i)
            m.branch1x1 = C(i, 64, 1)
            m.branch5x5_1 = C(i, 48, 1)
            m.branch5x5_2 = C(r(48), 64, 5, padding=2)
            m.branch3x3dbl_1 = C(i, 64, 1)
            m.branch3x3dbl_2 = C(r(64), 96, 3, padding=1)
            m.branch3x3dbl_3 = C(r(96), 96, 3, padding=1)
            m.branch_pool = C(i, pool, 1)
            setattr(self, "Mixed_" + name, m)
        m = self.Mixed_6a = nn.Module()
        m.branch3x3 = C(r(288), 384, 3, stride=2)
        m.branch3x3dbl_1 = C(r(288), 64, 1)
        m.branch3x3dbl_2 = C(r(64), 96, 3, padding=1)
        m.branch3x3dbl_3 = C(r(96), 96, 3, stride=2)
        for name, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
            m, i = nn.Module(), r(768)
            m.branch1x1 = C(i, 192, 1)
            m.branch7x7_1 = C(i, c, 1)
            m.branch7x7_2 = C(r(c), c, (1, 7), padding=(0, 3))
            m.branch7x7_3 = C(r(c), 192, (7, 1), padding=(3, 0))
            m.branch7x7dbl_1 = C(i, c, 1)
            m.branch7x7dbl_2 = C(r(c), c, (7, 1), padding=(3, 0))
            m.branch7x7dbl_3 = C(r(c), c, (1, 7), padding=(0, 3))
            m.branch7x7dbl_4 = C(r(c), c, (7, 1), padding=(3, 0))
            m.branch7x7dbl_5 = C(r(c), 192, (1, 7), padding=(0, 3))
            m.branch_pool = C(i, 192, 1)
            setattr(self, "Mixed_" + name, m)
        m = self.Mixed_7a = nn.Module()
        m.branch3x3_1 = C(r(768), 192, 1)
        m.branch3x3_2 = C(r(192), 320, 3, stride=2)
        m.branch7x7x3_1 = C(r(768), 192, 1)
        m.branch7x7x3_2 = C(r(192), 192, (1, 7), padding=(0, 3))
        m.branch7x7x3_3 = C(r(192), 192, (7, 1), padding=(3, 0))
        m.branch7x7x3_4 = C(r(192), 192, 3, stride=2)
        for name, i in (("7b", 1280), ("7c", 2048)):
            m, i = nn.Module(), r(i)
            m.branch1x1 = C(i, 320, 1)
            m.branch3x3_1 = C(i, 384, 1)
            m.branch3x3_2a = C(r(384), 384, (1, 3), padding=(0, 1))
            m.branch3x3_2b = C(r(384), 384, (3, 1), padding=(1, 0))
            m.branch3x3dbl_1 = C(i, 448, 1)
            m.branch3x3dbl_2 = C(r(448), 384, 3, padding=1)
            m.branch3x3dbl_3a = C(r(384), 384, (1, 3), padding=(0, 1))
            m.branch3x3dbl_3b = C(r(384), 384, (3, 1), padding=(1, 0))
            m.branch_pool = C(i, 192, 1)
            setattr(self, "Mixed_" + name, m)
        self.fc = nn.Linear(r(2048), CLASSES)

    def average(self, x):
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=not self.fid)

    def a(self, m, x):
        return torch.cat([m.branch1x1(x), m.branch5x5_2(m.branch5x5_1(x)),
                          m.branch3x3dbl_3(m.branch3x3dbl_2(m.branch3x3dbl_1(x))), m.branch_pool(self.average(x))], 1)

    def b(self, m, x):
        return torch.cat([m.branch3x3(x), m.branch3x3dbl_3(m.branch3x3dbl_2(m.branch3x3dbl_1(x))), F.max_pool2d(x, 3, stride=2)], 1)

    def c(self, m, x):
        double = m.branch7x7dbl_3(m.branch7x7dbl_2(m.branch7x7dbl_1(x)))
        return torch.cat([m.branch1x1(x), m.branch7x7_3(m.branch7x7_2(m.branch7x7_1(x))),
                          m.branch7x7dbl_5(m.branch7x7dbl_4(double)), m.branch_pool(self.average(x))], 1)

    def d(self, m, x):
        large = m.branch7x7x3_4(m.branch7x7x3_3(m.branch7x7x3_2(m.branch7x7x3_1(x))))
        return torch.cat([m.branch3x3_2(m.branch3x3_1(x)), large, F.max_pool2d(x, 3, stride=2)], 1)

    def e(self, m, x, pool):
        single, double = m.branch3x3_1(x), m.branch3x3dbl_2(m.branch3x3dbl_1(x))
        return torch.cat([m.branch1x1(x), m.branch3x3_2a(single), m.branch3x3_2b(single),
                          m.branch3x3dbl_3a(double), m.branch3x3dbl_3b(double), m.branch_pool(pool(x))], 1)

    def run(self, x):
        x = 2 * x - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = F.max_pool2d(x, 3, stride=2)
        for m in (self.Mixed_5b, self.Mixed_5c, self.Mixed_5d):
            x = self.a(m, x)
        x = self.b(self.Mixed_6a, x)
        for m in (self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e):
            x = self.c(m, x)
        x = self.d(self.Mixed_7a, x)
        x = self.e(self.Mixed_7b, x, self.average)
        last = (lambda t: F.max_pool2d(t, 3, stride=1, padding=1)) if self.fid else self.average
        x = self.e(self.Mixed_7c, x, last)
        f = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return f, self.fc(f)


def standardise(x):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (x - mean.to(x)[:, None, None]) / std.to(x)[:, None, None]


class Bottleneck(nn.Module):
    def __init__(self, i, inner, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, o, 1, bias=False), nn.BatchNorm2d(o)
        self.downsample = None
        if stride != 1 or i != o:
            self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        h = F.relu(self.bn2(self.conv2(h)))
        return F.relu(self.bn3(self.conv3(h)) + (self.downsample(x) if self.downsample else x))


class ResNet50(nn.Module):
    def __init__(self, div):
        super().__init__()
        i = 64 // div
        self.conv1, self.bn1 = nn.Conv2d(3, i, 7, 2, 3, bias=False), nn.BatchNorm2d(i)
        for k, blocks in enumerate((3, 4, 6, 3)):
            inner = (64 << k) // div
            layers = []
            for j in range(blocks):
                layers.append(Bottleneck(i, inner, 4 * inner, 2 if k and not j else 1))
                i = 4 * inner
            setattr(self, f"layer{k + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(i, CLASSES)

    def run(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(standardise(x)))), 3, 2, 1)
        f = self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))
        return f, self.fc(f)


class VGG16(nn.Module):
    ends = (4, 9, 16, 23, 30)  # just behind the last ReLU of a stage

    def __init__(self, div):
        super().__init__()
        layers, i = [], 3
        for k, convs in enumerate((2, 2, 3, 3, 3)):
            for _ in range(convs):
                o = min(64 << k, 512) // div
                layers += [nn.Conv2d(i, o, 3, padding=1), nn.ReLU()]
                i = o
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(49 * i, HIDDEN), nn.ReLU(), nn.Dropout(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
                                        nn.Dropout(), nn.Linear(HIDDEN, CLASSES))

    def run(self, x):
        x = F.adaptive_avg_pool2d(self.features(standardise(x)), (7, 7)).flatten(1)
        f = self.classifier[:-1](x)
        return f, self.classifier[-1](f)


class AlexNet(nn.Module):
    ends = (2, 5, 8, 10, 12)

    def __init__(self, div):
        super().__init__()
        r = lambda c: c // div
        self.features = nn.Sequential(
            nn.Conv2d(3, r(64), 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(r(64), r(192), 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(r(192), r(384), 3, padding=1), nn.ReLU(), nn.Conv2d(r(384), r(256), 3, padding=1), nn.ReLU(),
            nn.Conv2d(r(256), r(256), 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2))
        self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(36 * r(256), HIDDEN), nn.ReLU(), nn.Dropout(), nn.Linear(HIDDEN, HIDDEN),
                                        nn.ReLU(), nn.Linear(HIDDEN, CLASSES))

    def forward(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), (6, 6)).flatten(1))

    def run(self, x):
        x = F.adaptive_avg_pool2d(self.features(standardise(x)), (6, 6)).flatten(1)
        f = self.classifier[:-1](x)
        return f, self.classifier[-1](f)


def conv_bn_relu6(i, o, k, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o), nn.ReLU6())


class InvertedResidual(nn.Module):
    def __init__(self, i, o, stride, t):
        super().__init__()
        self.residual = stride == 1 and i == o
        layers = [conv_bn_relu6(i, t * i, 1)] if t != 1 else []
        layers += [conv_bn_relu6(t * i, t * i, 3, stride, t * i), nn.Conv2d(t * i, o, 1, bias=False), nn.BatchNorm2d(o)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, div):
        super().__init__()
        i = 32 // div
        layers = [conv_bn_relu6(3, i, 3, 2)]
        for t, c, n, s in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
            for k in range(n):
                layers.append(InvertedResidual(i, c // div, s if k == 0 else 1, t))
                i = c // div
        layers.append(conv_bn_relu6(i, 1280 // div, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(1280 // div, CLASSES))

    def run(self, x):
        f = self.features(standardise(x)).mean((2, 3))
        return f, self.classifier(f)


def draw(model, images):
    """Draws weights, lets the normalisations see the images, and rounds to float16."""
    for m in model.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            fan = m.weight[0].numel()
            nn.init.normal_(m.weight, std=(2 / fan) ** 0.5)
            if m.bias is not None:
                nn.init.uniform_(m.bias, -0.2, 0.2)
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.uniform_(m.bias, -0.4, 0.6)
            m.momentum = 0.9
    model.train()
    with torch.no_grad():
        model.run(images)
        for m in model.modules():  # statistics that are not those of the images
            if isinstance(m, nn.BatchNorm2d):
                m.running_var.mul_(torch.empty_like(m.running_var).uniform_(0.7, 1.4))
    model.eval().half().double()


def state(model):
    return {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}


def rounded(values):
    return [float(f"{v:.7g}") for v in values.flatten().tolist()]


def classifiers():
    out = {}
    for name, model, side in (("inception-fid", Inception(True, 16), 299), ("inception-v3", Inception(False, 16), 299),
                              ("resnet50", ResNet50(16), 224), ("vgg16", VGG16(16), 224), ("alexnet", AlexNet(16), 224),
                              ("mobilenet-v2", MobileNetV2(8), 224)):
        torch.manual_seed(len(name))
        images = image(2, side, side) / 255
        draw(model, images.float())
        with torch.no_grad():
            features, logits = model.run(images)
        out[name] = {"features": rounded(features), "logits": rounded(logits)}
        print(name, sum(p.numel() for p in model.parameters()), features.std().item(), features.abs().max().item(), logits.std().item())
        # One in the container of PyTorch before 1.6, which the published files of that age have.
        torch.save(state(model), os.path.join(HERE, name + ".pth"), _use_new_zipfile_serialization="inception" not in name)
        if name in ("vgg16", "alexnet"):
            out["lpips-" + name] = lpips(name, model)
        if name == "alexnet":
            torch.onnx.export(model.float(), torch.zeros(1, 3, side, side), os.path.join(HERE, "alexnet.onnx"))
    return out


def lpips(name, model):
    """The distance of two images by the formulas of the package lpips, version 0.1."""
    heads = {}
    cases = []
    for h, w in ((64, 64), (40, 53)):
        a, b = image(2, h, w)
        shift, scale = torch.tensor([-.030, -.088, -.188]), torch.tensor([.458, .448, .450])
        x = torch.stack([a, b]) / 127.5 - 1
        x = (x - shift.to(x)[:, None, None]) / scale.to(x)[:, None, None]
        total = 0
        for k, end in enumerate(model.ends):
            begin = model.ends[k - 1] if k else 0
            x = model.features[begin:end](x)
            key = f"lin{k}.model.1.weight"
            if key not in heads:
                heads[key] = torch.rand(1, x.shape[1], 1, 1).half()
            f = x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
            total += F.conv2d((f[:1] - f[1:]) ** 2, heads[key].double()).mean((2, 3)).item()
        cases.append({"height": h, "width": w, "distance": total})
    torch.save(heads, os.path.join(HERE, f"lpips-{name}.pth"))
    return cases


def bilinear():
    cases = []
    for h, w, to_h, to_w in ((7, 9, 13, 11), (31, 20, 9, 8), (5, 5, 5, 5), (3, 4, 12, 1)):
        y = F.interpolate(image(1, h, w) / 255, size=(to_h, to_w), mode="bilinear", align_corners=False)
        cases.append({"height": h, "width": w, "to_height": to_h, "to_width": to_w, "pix": rounded(y[0].permute(1, 2, 0))})
    return cases


if __name__ == "__main__":
    result = classifiers()
    result["bilinear"] = bilinear()
    with open(os.path.join(HERE, "pytorch.json"), "w") as f:
        json.dump(result, f)
