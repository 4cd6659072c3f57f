#!/usr/bin/env bash
# Package:  Pillow 13.0.0 (files made by tifffile 2026.3.3, NumPy 2.4.6)
# Expected: an RGB TIFF of 16 bits a channel whose colours lie in separate planes (PlanarConfiguration 2) gives the picture
#           that the same numbers give side by side (the upper 8 bits of each), as with 8 bits a channel. If Pillow can't
#           decode it, it says so.
# Seen:     if the planes are not packed, Pillow takes each byte for a pixel, without error or warning: lower and upper
#           bytes alternate, each row is stretched to twice its width and its right half is lost. If the planes are
#           zlib-packed, the same picture is right.
# Date:     2026-11-30
# Output seen:
#   Pillow 13.0.0, tifffile 2026.3.3, NumPy 2.4.6
#   Red of the first row
#   uint8   contig    packed: no    Pillow [0, 16, 32, 48]  true [0, 16, 32, 48]
#   uint8   contig    packed: zlib  Pillow [0, 16, 32, 48]  true [0, 16, 32, 48]
#   uint8   separate  packed: no    Pillow [0, 16, 32, 48]  true [0, 16, 32, 48]
#   uint8   separate  packed: zlib  Pillow [0, 16, 32, 48]  true [0, 16, 32, 48]
#   uint16  contig    packed: no    Pillow [0, 16, 32, 48]  true [0, 16, 32, 48]
#   uint16  contig    packed: zlib  Pillow [0, 16, 32, 48]  true [0, 16, 32, 48]
#   uint16  separate  packed: no    Pillow [7, 0, 23, 16]  true [0, 16, 32, 48]
#   uint16  separate  packed: zlib  Pillow [0, 16, 32, 48]  true [0, 16, 32, 48]
#   As described: Pillow takes each byte of the unpacked 16-bit planes for a pixel.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6

venv/bin/python - <<'PYTHON'
import sys

import numpy as np
import PIL
import tifffile
from PIL import Image

print(f"Pillow {PIL.__version__}, tifffile {tifffile.__version__}, NumPy {np.__version__}")
print("Red of the first row")
wrong = set()
for kind in ("uint8", "uint16"):
    unit = np.iinfo(kind).max // 255
    eight = np.stack([np.arange(16).reshape(4, 4) * 16, np.full((4, 4), 200), np.full((4, 4), 50)], axis=-1)
    numbers = (eight * unit + (7 if unit > 1 else 0)).astype(kind)
    for planes in ("contig", "separate"):
        for packing in (None, "zlib"):
            laid = numbers.transpose(2, 0, 1) if planes == "separate" else numbers
            tifffile.imwrite("colour.tif", laid, photometric="rgb", planarconfig=planes, compression=packing, byteorder="<")
            assert np.array_equal(tifffile.imread("colour.tif"), laid), "tifffile reads what it has written"
            try:
                with Image.open("colour.tif") as image:
                    read = np.asarray(image)
            except OSError as error:
                sys.exit(f"CHANGED: Pillow refuses {kind}, {planes}, packed: {packing}: {error}")
            first, true = (rows[0, :, 0].tolist() for rows in (read, eight))
            print(f"{kind:7} {planes:9} packed: {packing or 'no':5} Pillow {first}  true {true}")
            if not np.array_equal(read, eight):
                taken = np.array_equal(read[0, :, 0], numbers[0, :, 0].astype("<u2").view(np.uint8)[:4])
                wrong.add((kind, planes, packing, "bytes as pixels" if taken else "otherwise"))

if wrong != {("uint16", "separate", None, "bytes as pixels")}:
    sys.exit(f"CHANGED: the TIFFs that Pillow reads wrongly are {sorted(wrong, key=str) or 'none'}")
print("As described: Pillow takes each byte of the unpacked 16-bit planes for a pixel.")
PYTHON
