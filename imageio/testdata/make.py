"""Makes read/: small pictures in the variants that this project's own encoders do not write, and what other programs see in them.

Needs Pillow (9.4.0 was used) and ImageMagick 6 as convert-im6. expected.csv holds, for variants without loss, the CRC-32
of the picture as 8-bit (or 16-bit big-endian) RGBA; for JPEG and lossy WebP NAME.png holds what Pillow decodes.
"""
import os
import subprocess
import zlib

from PIL import Image

src = Image.open("../../resample/testdata/chelsea_lr4.png").convert("RGB").crop((8, 5, 45, 28))
W, H = src.size
alpha = Image.new("L", (W, H))
alpha.putdata([min(255, (x * 9) if y % 3 else 255) for y in range(H) for x in range(W)])
rgba = src.copy()
rgba.putalpha(alpha)
out = "read/"
for f in os.listdir(out):
    os.remove(out + f)


def im(*args):
    subprocess.run(["convert-im6", *args], check=True)


rgba.save("rgba.tmp.png")
src.save("rgb.tmp.png")
IN, INA = "rgb.tmp.png", "rgba.tmp.png"

for q, name in ((0, "444"), (1, "422"), (2, "420")):
    src.save(out + f"jpeg_{name}.jpg", quality=90, subsampling=q)
src.save(out + "jpeg_progressive.jpg", quality=90, progressive=True)
src.convert("L").save(out + "jpeg_gray.jpg", quality=90)
src.convert("CMYK").save(out + "jpeg_cmyk.jpg", quality=95)
src.save(out + "webp_lossy.webp", quality=80)
rgba.save(out + "webp_lossy_alpha.webp", quality=80)
rgba.save(out + "webp_lossless_alpha.webp", lossless=True, exact=True)
src.save(out + "webp_lossless.webp", lossless=True)
rgba.save(out + "webp_animated.webp", save_all=True, append_images=[rgba.rotate(90)], lossless=True, exact=True)

im(IN, "-interlace", "PNG", "PNG24:" + out + "png_adam7_rgb.png")
im(INA, "-interlace", "PNG", "PNG32:" + out + "png_adam7_rgba.png")
im(IN, "-interlace", "PNG", "-depth", "16", "-evaluate", "multiply", "0.9137", "PNG48:" + out + "png_adam7_rgb16.png")
im(INA, "-depth", "16", "-evaluate", "multiply", "0.9137", "PNG64:" + out + "png_rgba16.png")
im(IN, "-colorspace", "Gray", "-depth", "16", "-evaluate", "multiply", "0.9137", "-define", "png:color-type=0", "-define", "png:bit-depth=16", out + "png_gray16.png")
for bits, colors in ((1, 2), (2, 4), (4, 16), (8, 200)):
    p = src.quantize(colors)
    p.save(out + f"png_palette{bits}.png", bits=bits)
    p.save(out + f"png_palette{bits}_trns.png", bits=bits, transparency=bytes(i * 60 % 256 for i in range(colors)))
    if bits < 8:
        im(IN, "-colorspace", "Gray", "-depth", str(bits), "-define", "png:color-type=0", "-define", f"png:bit-depth={bits}", out + f"png_gray{bits}.png")
src.convert("L").save(out + "png_gray8_trns.png", transparency=src.convert("L").getpixel((3, 3)))
rgba.convert("LA").save(out + "png_gray_alpha.png")
src.save(out + "png_rgb_trns.png", transparency=src.getpixel((3, 3)))

for comp in ("none", "lzw", "zip", "rle"):
    im(IN, "-compress", comp, out + f"tiff_{comp}.tif")
im(INA, "-endian", "MSB", "-compress", "zip", out + "tiff_big_endian_alpha.tif")
im(IN, "-depth", "16", "-evaluate", "multiply", "0.9137", "-endian", "MSB", "-compress", "lzw", out + "tiff_rgb16.tif")
im(IN, "-define", "tiff:tile-geometry=16x16", "-compress", "zip", out + "tiff_tiled.tif")
im(IN, "-colorspace", "Gray", "-compress", "lzw", out + "tiff_gray.tif")
im(IN, "-colors", "50", "-type", "Palette", "-compress", "none", out + "tiff_palette.tif")
im(IN, "-monochrome", "-compress", "Group4", out + "tiff_g4.tif")

src.save(out + "bmp_24.bmp")
src.convert("L").save(out + "bmp_8.bmp")
src.convert("1").save(out + "bmp_1.bmp")
im(IN, "-colors", "12", "-type", "Palette", "-depth", "4", "BMP3:" + out + "bmp_palette.bmp")

g = src.quantize(31)
g.save(out + "gif_plain.gif")
g.save(out + "gif_transparent.gif", transparency=5)
im("-size", f"{W}x{H}", "xc:none", "(", IN, "-crop", "20x10+7+6", ")", "+repage", "-delete", "0", "-page", f"{W}x{H}+7+6", out + "gif_part.gif")
src.quantize(31).save(out + "gif_animated.gif", save_all=True, append_images=[src.rotate(90).quantize(31)])
os.remove(IN)
os.remove(INA)

with open("expected.csv", "w") as f:
    for name in sorted(os.listdir(out)):
        path = out + name
        if "16" in name and "adam7_rgba" not in name and "tiled" not in name:
            raw = subprocess.run(["convert-im6", path, "-depth", "16", "-endian", "MSB", "RGBA:-"], check=True, capture_output=True).stdout
            f.write(f"{name},16,{W},{H},{zlib.crc32(raw):08x}\n")
            continue
        img = Image.open(path)
        if name.startswith("jpeg") or name.startswith("webp_lossy"):
            img.convert("RGBA" if "alpha" in name else "RGB").save(path + ".png")
            f.write(f"{name},lossy,{W},{H},\n")
            continue
        img = img.convert("RGBA")
        if name == "gif_part.gif":  # Pillow paints the rest of the canvas; browsers leave it transparent
            part = img.crop((7, 6, 27, 16))
            img = Image.new("RGBA", img.size, (0, 0, 0, 0))
            img.paste(part, (7, 6))
        if name.startswith("gif"):  # a GIF has no colour where it is transparent
            img.putdata([p if p[3] else (0, 0, 0, 0) for p in img.getdata()])
        f.write(f"{name},8,{img.width},{img.height},{zlib.crc32(img.tobytes()):08x}\n")
