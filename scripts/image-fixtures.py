#!/usr/bin/env python3
"""Writes tests/data/image: small drawn pictures, and what Pillow makes of them.

    pip install numpy pillow
    scripts/image-fixtures.py

Everything is drawn here; nothing is copied. The files are committed, so this runs only when a case
is added. Made with Pillow 13.0.0 (libjpeg-turbo 3.2.0).
"""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "image"


def formula(width, height):
    """The picture of the resize tests; src/image/tests.rs has the same formula."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return (((x * 7 + y * 13 + c * 50) ^ (x * y // 8)) & 255).astype(np.uint8)


def drawing(width, height):
    """A smooth ground with a hard-edged patch, as photographs have."""
    y, x = np.mgrid[0:height, 0:width]
    ground = [128 + 90 * np.sin(x / 9 + c) + 30 * np.cos(y / 7 * (c + 1)) for c in range(3)]
    pixels = np.clip(np.stack(ground, -1), 0, 255).astype(np.uint8)
    pixels[height // 3 : height // 2, width // 4 : width // 2] = [250, 20, 60]
    return Image.fromarray(pixels)


def jpegs():
    picture = drawing(41, 35)

    def save(name, picture=picture, **options):
        path = OUT / f"{name}.jpg"
        picture.save(path, quality=80, **options)
        return path

    def reference(path):
        Image.open(path).convert("RGB").save(path.with_suffix(".pillow.png"), optimize=True)

    reference(save("baseline-420", subsampling=2))
    reference(save("baseline-444", subsampling=0))
    save("baseline-422-restart", subsampling=1, restart_marker_blocks=2)
    save("progressive-420", subsampling=2, progressive=True)
    save("progressive-444-restart", subsampling=0, progressive=True, restart_marker_rows=1)
    reference(save("grey", picture.convert("L")))
    red, green, blue = (np.asarray(channel) for channel in picture.split())
    black = np.full_like(red, 40) + red // 8
    inks = np.stack([255 - red, 255 - green, 255 - blue, black], -1)
    cmyk = save("cmyk", Image.fromarray(inks, "CMYK"))
    reference(cmyk)
    # The colour transform of the Adobe segment tells YCCK from CMYK.
    ycck = bytearray(cmyk.read_bytes())
    ycck[ycck.index(b"Adobe") + 11] = 2
    path = OUT / "ycck.jpg"
    path.write_bytes(ycck)
    reference(path)
    exif = Image.Exif()
    exif[0x0112] = 6
    save("exif-orientation-6", exif=exif)


# Colour type: samples per pixel, depths.
PNG_TYPES = {
    0: (1, [1, 2, 4, 8, 16]),
    2: (3, [8, 16]),
    3: (1, [1, 2, 4, 8]),
    4: (2, [8, 16]),
    6: (4, [8, 16]),
}
# First column and row, and the steps between columns and rows, of each pass.
ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]


def png_bytes(samples, color_type, depth, interlaced, extra=()):
    """A PNG file of `samples[y, x, channel]`; each row has another filter."""
    height, width, channels = samples.shape

    def rows(block):
        out = b""
        bytes_per_pixel = max(1, channels * depth // 8)
        above = b""
        for y, row in enumerate(block):
            if depth == 16:
                raw = row.astype(">u2").tobytes()
            elif depth == 8:
                raw = row.astype(np.uint8).tobytes()
            else:
                shifts = np.arange(depth - 1, -1, -1)
                raw = np.packbits((row.reshape(-1, 1) >> shifts) & 1).tobytes()
            above = above or bytes(len(raw))
            kind = y % 3
            left = bytes(bytes_per_pixel) + raw
            predicted = [bytes(len(raw)), left, above][kind]
            out += bytes([kind]) + bytes((a - b) & 255 for a, b in zip(raw, predicted))
            above = raw
        return out

    if interlaced:
        passes = [samples[y0::dy, x0::dx] for x0, y0, dx, dy in ADAM7]
        data = b"".join(rows(block) for block in passes if block.size)
    else:
        data = rows(samples)

    def chunk(kind, content):
        digest = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", digest)

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced)
    contents = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(data, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*content) for content in contents)


def png_case(random_samples, color_type, depth, interlaced, transparent):
    """Writes one file; gives its name and RGB samples."""
    channels, _ = PNG_TYPES[color_type]
    samples = random_samples.integers(0, 1 << depth, (7, 6, channels), dtype=np.int64)
    extra = []
    if color_type == 3:
        palette = random_samples.integers(0, 256, (1 << depth, 3), dtype=np.uint8)
        extra.append((b"PLTE", palette.tobytes()))
        rgb = palette[samples[..., 0]]
        if transparent:
            extra.append((b"tRNS", bytes(range(2))))
    else:
        eight = samples >> 8 if depth == 16 else samples * 255 // ((1 << depth) - 1)
        rgb = eight[..., :3] if channels >= 3 else np.repeat(eight[..., :1], 3, -1)
        if transparent:
            extra.append((b"tRNS", samples[0, 0].astype(">u2").tobytes()))
    suffix = "-trns" * transparent + "-interlaced" * interlaced
    path = OUT / f"type{color_type}-depth{depth}{suffix}.png"
    path.write_bytes(png_bytes(samples, color_type, depth, interlaced, extra))
    rgb = rgb.astype(np.uint8)
    # Pillow clips 16-bit grey at 255; others take the high byte.
    pillow = np.asarray(Image.open(path).convert("RGB"))
    assert np.array_equal(rgb, pillow) or (color_type, depth) == (0, 16), path.name
    return path.name, rgb


def pngs():
    """Every colour type and depth, plain and interlaced; the digest is that of the RGB samples."""
    random_samples = np.random.default_rng(1)
    lines = []
    for color_type, (_, depths) in PNG_TYPES.items():
        for depth in depths:
            for interlaced in (0, 1):
                for transparent in (0, 1) if color_type in (0, 2, 3) else (0,):
                    name, rgb = png_case(random_samples, color_type, depth, interlaced, transparent)
                    lines.append(f"{name} {zlib.crc32(rgb.tobytes()):08x}\n")
    (OUT / "png.txt").write_text("".join(lines))
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0"
    samples = np.asarray(drawing(6, 4))
    path = OUT / "exif-orientation-8.png"
    path.write_bytes(png_bytes(samples, 2, 8, 0, [(b"eXIf", exif)]))


def resized(width, height, how, crop):
    """Pillow's resize within torchvision's Resize and CenterCrop."""
    if how[0] == "shorter":
        short, long = min(width, height), max(width, height)
        other = int(how[1] * long / short)
        size = (how[1], other) if width <= height else (other, how[1])
    else:
        size = how[1:]
    # Two steps keep the rows first: since 13.0 Pillow itself begins with the columns when the height
    # shrinks much more than the width.
    picture = Image.fromarray(formula(width, height))
    picture = picture.resize((size[0], height), Image.Resampling.BILINEAR)
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = (int(round((size[axis] - crop[axis]) / 2.0)) for axis in (0, 1))
    return picture.crop((left, top, left + crop[0], top + crop[1]))


def resizes():
    cases = [
        (32, 32, ("stretch", 32, 32), (32, 32)),
        (100, 100, ("shorter", 32), (32, 32)),
        (128, 96, ("shorter", 32), (32, 32)),
        (96, 128, ("shorter", 32), (32, 32)),
        (28, 28, ("stretch", 32, 32), (32, 32)),
        (7, 5, ("shorter", 224), (224, 224)),
        (7, 5, ("stretch", 224, 224), (224, 224)),
        (640, 480, ("shorter", 256), (224, 224)),
        (67, 64, ("shorter", 64), (32, 32)),
        (99, 100, ("stretch", 50, 100), (50, 100)),
        (99, 100, ("stretch", 99, 50), (98, 49)),
        (1, 1, ("stretch", 32, 32), (32, 32)),
        (1, 1, ("shorter", 1), (1, 1)),
        (1, 1000, ("shorter", 8), (8, 8)),
        (32767, 1, ("stretch", 5, 3), (5, 3)),
        (1, 32767, ("stretch", 3, 5), (3, 5)),
        (1, 32767, ("shorter", 32), (32, 32)),
        (4000, 3000, ("shorter", 224), (224, 224)),
    ]
    draw = random.Random(1)
    for _ in range(40):
        width, height = draw.randint(1, 300), draw.randint(1, 300)
        crop = draw.randint(1, 60), draw.randint(1, 60)
        if draw.random() < 0.5:
            how = ("shorter", max(crop) + draw.randint(0, 40))
        else:
            how = ("stretch", crop[0] + draw.randint(0, 40), crop[1] + draw.randint(0, 40))
        cases.append((width, height, how, crop))
    lines = []
    for width, height, how, crop in cases:
        digest = zlib.crc32(resized(width, height, how, crop).tobytes())
        words = [width, height, *how, *([] if how[0] == "stretch" else [0]), *crop, f"{digest:08x}"]
        lines.append(" ".join(map(str, words)) + "\n")
    (OUT / "resize.txt").write_text("".join(lines))


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    jpegs()
    pngs()
    resizes()
