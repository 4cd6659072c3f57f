#!/usr/bin/env bash
# Package:  Pillow 13.0.0 (files made by tifffile 2026.3.3, NumPy 2.4.6)
# Expected: a grey TIFF whose tag PhotometricInterpretation says that 0 is white (MinIsWhite) looks the same at each depth.
#           Pillow turns the numbers of the 8-bit one over, so that 0 is black as in all its grey modes; it would do the
#           same with 16 bits.
# Seen:     the numbers of the 16-bit one are left as they are, in mode I;16, where 0 is black: the same picture is a
#           negative, and stays one when it is saved as PNG.
# Date:     2026-11-30
# Output seen:
#   Pillow 13.0.0, tifffile 2026.3.3, NumPy 2.4.6
#   A picture of three pixels: white, grey, black; as the share of white that Pillow gives
#   uint8   minisblack  stored [255, 127, 0]       mode L     opened [1.0, 0.5, 0.0]  saved as PNG [1.0, 0.5, 0.0]
#   uint8   miniswhite  stored [0, 127, 255]       mode L     opened [1.0, 0.5, 0.0]  saved as PNG [1.0, 0.5, 0.0]
#   uint16  minisblack  stored [65535, 32767, 0]   mode I;16  opened [1.0, 0.5, 0.0]  saved as PNG [1.0, 0.5, 0.0]
#   uint16  miniswhite  stored [0, 32767, 65535]   mode I;16  opened [0.0, 0.5, 1.0]  saved as PNG [0.0, 0.5, 1.0]
#   As described: with 16 bits, and only then, white comes out as black.
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
print("A picture of three pixels: white, grey, black; as the share of white that Pillow gives")
shares = {}
for kind in ("uint8", "uint16"):
    most = np.iinfo(kind).max
    for photometric, stored in (("minisblack", [most, most // 2, 0]), ("miniswhite", [0, most // 2, most])):
        tifffile.imwrite("grey.tif", np.array([stored], kind), photometric=photometric)
        with Image.open("grey.tif") as image:
            mode = image.mode
            image.save("grey.png")
        with Image.open("grey.png") as image:
            saved = [round(x / most, 1) for x in np.asarray(image)[0].tolist()]
        with Image.open("grey.tif") as image:
            share = [round(x / most, 1) for x in np.asarray(image)[0].tolist()]
        print(f"{kind:7} {photometric}  stored {str(stored):19} mode {mode:5} opened {share}  saved as PNG {saved}")
        shares[kind, photometric] = share, saved

right, negative = ([1.0, 0.5, 0.0],) * 2, ([0.0, 0.5, 1.0],) * 2
wrong = {key for key, share in shares.items() if share != right}
if wrong != {("uint16", "miniswhite")} or shares["uint16", "miniswhite"] != negative:
    sys.exit(f"CHANGED: the TIFFs of which Pillow gives another picture are {sorted(wrong) or 'none'}")
print("As described: with 16 bits, and only then, white comes out as black.")
PYTHON
