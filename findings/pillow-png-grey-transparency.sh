#!/usr/bin/env bash
# Package:  Pillow 13.0.0, Python 3.11 (files made and read for comparison by pypng 0.20220715.0)
# Expected: a grey PNG may name one of its levels as transparent (the chunk tRNS). In RGBA, the pixels of that level, and no
#           others, have alpha 0, whether the file has 1, 2, 4 or 8 bits a pixel.
# Seen:     with 2 and 4 bits (which PNG optimisers write for drawings of few shades) Pillow scales the pixels to 0 to 255,
#           but not the transparent level: level 1 of 2 bits is 85 and compared with 1. So the transparent ground comes out
#           opaque, without error or warning. Only level 0 works. Of 16-bit colours a pixel of another colour (the lower
#           bytes of the named one) becomes transparent, and the named one stays opaque.
# Date:     2026-11-30
# Output seen:
#   Pillow 13.0.0, pypng 0.20220715.0
#   grey of 1 bit      transparent: pixel 1   alpha by Pillow [255, 0]              by pypng [255, 0]
#   grey of 2 bits     transparent: pixel 1   alpha by Pillow [255, 255, 255, 255]  by pypng [255, 0, 255, 255]
#   grey of 4 bits     transparent: pixel 2   alpha by Pillow [255, 255, 255, 255]  by pypng [255, 255, 0, 255]
#   grey of 8 bits     transparent: pixel 2   alpha by Pillow [255, 255, 0, 255]    by pypng [255, 255, 0, 255]
#   colour of 8 bits   transparent: pixel 0   alpha by Pillow [0, 255]              by pypng [0, 255]
#   colour of 16 bits  transparent: pixel 0   alpha by Pillow [255, 0]              by pypng [0, 255]
#   As described: with 2 and 4 bits of grey nothing is transparent, with 16 bits of colour another pixel is.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 pypng==0.20220715.0

venv/bin/python - <<'PYTHON'
import sys

import PIL
import png
from PIL import Image

print(f"Pillow {PIL.__version__}, pypng {png.__version__}")
KINDS = {  # bits, transparent value, pixels of one row
    "grey of 1 bit": (1, 1, [0, 1]),
    "grey of 2 bits": (2, 1, [0, 1, 2, 3]),
    "grey of 4 bits": (4, 13, [0, 1, 13, 15]),
    "grey of 8 bits": (8, 200, [0, 1, 200, 255]),
    "colour of 8 bits": (8, (10, 20, 30), [(10, 20, 30), (20, 30, 40)]),
    "colour of 16 bits": (16, (0x1014, 0x2028, 0x303C), [(0x1014, 0x2028, 0x303C), (0x1400, 0x2800, 0x3C00)]),
}
wrong = {}
for kind, (bits, clear, pixels) in KINDS.items():
    row = [number for pixel in pixels for number in (pixel if isinstance(pixel, tuple) else (pixel,))]
    grey = kind.startswith("grey")
    with open("picture.png", "wb") as file:
        png.Writer(len(pixels), 1, bitdepth=bits, greyscale=grey, transparent=clear).write(file, [row])
    with Image.open("picture.png") as image:
        read = list(image.convert("RGBA").getchannel("A").tobytes())
    true = [list(values) for values in png.Reader("picture.png").asRGBA8()[2]][0][3::4]
    print(f"{kind:18} transparent: pixel {pixels.index(clear)}   alpha by Pillow {str(read):21} by pypng {true}")
    if read != true:
        wrong[kind] = read

if wrong != {"grey of 2 bits": [255] * 4, "grey of 4 bits": [255] * 4, "colour of 16 bits": [255, 0]}:
    sys.exit(f"CHANGED: Pillow gives another alpha for {wrong or 'none'}")
print("As described: with 2 and 4 bits of grey nothing is transparent, with 16 bits of colour another pixel is.")
PYTHON
