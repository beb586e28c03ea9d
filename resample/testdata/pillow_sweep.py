"""Writes pillow_sweep.csv: CRC-32 of what Pillow makes of pseudo-random images of many sizes.

Run with a Python that has Pillow; the committed file is from Pillow 9.4.0. The source sample i is the top byte of
x = x*1664525 + 1013904223 (mod 2^32) after i+1 steps from x = seed.
"""
import random
import zlib

from PIL import Image

FILTERS = {"bicubic": Image.BICUBIC, "lanczos3": Image.LANCZOS, "box": Image.BOX}
MODES = {1: "L", 3: "RGB", 4: "CMYK"}


def source(seed, n):
    x, out = seed, bytearray(n)
    for i in range(n):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = x >> 24
    return bytes(out)


random.seed(1)
sizes = [(1, 1, 5, 7), (1, 9, 4, 1), (2, 2, 64, 64), (64, 64, 1, 1), (100, 3, 25, 12), (50, 50, 49, 51)]
sizes += [tuple(random.randint(1, 90) for _ in range(4)) for _ in range(60)]
with open("pillow_sweep.csv", "w") as f:
    for seed, (sh, sw, dh, dw) in enumerate(sizes):
        for name, kernel in FILTERS.items():
            for c, mode in MODES.items():
                img = Image.frombytes(mode, (sw, sh), source(seed, sh * sw * c)).resize((dw, dh), kernel)
                f.write(f"{name},{c},{seed},{sh},{sw},{dh},{dw},{zlib.crc32(img.tobytes()):08x}\n")
