#!/usr/bin/env bash
# Package:  Pillow 13.0.0, NumPy 2.4.6, Python 3.11
# Expected: a 16-bit grey picture (mode I;16), turned or shifted with bilinear or bicubic interpolation, has the numbers that
#           the same picture has in modes I and F, rounded; resize() of I;16 does that. If a mode is not supported, Pillow
#           says so, as it does for ImageOps.invert.
# Seen:     rotate() and transform() of I;16 with BILINEAR or BICUBIC give numbers from 0 to 255 that have nothing to do with
#           the picture (1000 becomes 159), without error or warning. With NEAREST they are right. So augmentation by
#           rotation turns 16-bit pictures into noise.
# Date:     2026-11-30
# Output seen:
#   Pillow 13.0.0, NumPy 2.4.6
#   A picture whose pixels are all 1000: the middle of the result, and the largest difference to mode F
#   resize to 32 x 32      NEAREST   1000 becomes 1000  a slope of 0 to 63750 differs by 0
#   resize to 32 x 32      BILINEAR  1000 becomes 1000  a slope of 0 to 63750 differs by 0
#   resize to 32 x 32      BICUBIC   1000 becomes 1000  a slope of 0 to 63750 differs by 0
#   rotate by 30 degrees   NEAREST   1000 becomes 1000  a slope of 0 to 63750 differs by 0
#   rotate by 30 degrees   BILINEAR  1000 becomes 159   a slope of 0 to 63750 differs by 51151
#   rotate by 30 degrees   BICUBIC   1000 becomes 177   a slope of 0 to 63750 differs by 51469
#   shift by half a pixel  NEAREST   1000 becomes 1000  a slope of 0 to 63750 differs by 0
#   shift by half a pixel  BILINEAR  1000 becomes 117   a slope of 0 to 63750 differs by 48713
#   shift by half a pixel  BICUBIC   1000 becomes 117   a slope of 0 to 63750 differs by 48718
#   As described: rotate and transform of I;16 with interpolation give other numbers, none above 255.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6

venv/bin/python - <<'PYTHON'
import sys

import numpy as np
import PIL
from PIL import Image

print(f"Pillow {PIL.__version__}, NumPy {np.__version__}")
print("A picture whose pixels are all 1000: the middle of the result, and the largest difference to mode F")
sixteen = Image.fromarray(np.full((16, 16), 1000, np.uint16))
slope = Image.fromarray((np.arange(256).reshape(16, 16) * 250).astype(np.uint16))
SHIFT = (1, 0, 0.5, 0, 1, 0.5)
HOW = {
    "resize to 32 x 32": lambda image, how: image.resize((32, 32), how),
    "rotate by 30 degrees": lambda image, how: image.rotate(30, how),
    "shift by half a pixel": lambda image, how: image.transform((16, 16), Image.Transform.AFFINE, SHIFT, how),
}
wrong = set()
for name, change in HOW.items():
    for how in (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC):
        middle = np.asarray(change(sixteen, how))[8, 8]
        both = [np.asarray(change(image, how), dtype=np.float64)[4:12, 4:12] for image in (slope, slope.convert("F"))]
        difference = np.abs(both[0] - both[1]).max()
        print(f"{name:22} {how.name:9} 1000 becomes {middle:<5} a slope of 0 to 63750 differs by {difference:.0f}")
        if difference > 1 or middle != 1000:
            wrong.add((name, how.name))
            assert both[0].max() <= 255, "16-bit numbers"

expected = {(name, how) for name in list(HOW)[1:] for how in ("BILINEAR", "BICUBIC")}
if wrong != expected:
    sys.exit(f"CHANGED: the wrong ones are {sorted(wrong) or 'none'}")
print("As described: rotate and transform of I;16 with interpolation give other numbers, none above 255.")
PYTHON
