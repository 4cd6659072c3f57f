#!/usr/bin/env bash
# Package:  Pillow 13.0.0 (files made by tifffile 2026.3.3, NumPy 2.4.6; a little-endian machine)
# Expected: a TIFF has the same numbers whether its bytes lie in big-endian or little-endian order, packed or not.
#           If Pillow can't decode a combination, it says so.
# Seen:     big-endian, zlib-packed grey TIFFs of int16, int32 and float32 come with the bytes of each number the wrong way
#           round, without error or warning: 100 is 25600. Unpacked ones are right, so are little-endian ones, and so are
#           packed big-endian ones of uint16.
# Date:     2026-11-30
# Output seen:
#   Pillow 13.0.0, tifffile 2026.3.3, NumPy 2.4.6, little-endian machine
#   type     order   packed                                            Pillow   tifffile
#   uint16   little  no                                           100 200 300   100 200 300
#   uint16   little  zlib                                         100 200 300   100 200 300
#   uint16   big     no                                           100 200 300   100 200 300
#   uint16   big     zlib                                         100 200 300   100 200 300
#   int16    little  no                                           100 200 300   100 200 300
#   int16    little  zlib                                         100 200 300   100 200 300
#   int16    big     no                                           100 200 300   100 200 300
#   int16    big     zlib                                  25600 -14336 11265   100 200 300
#   int32    little  no                                           100 200 300   100 200 300
#   int32    little  zlib                                         100 200 300   100 200 300
#   int32    big     no                                           100 200 300   100 200 300
#   int32    big     zlib           1.6777216e+09 -9.395241e+08 7.3826304e+08   100 200 300
#   float32  little  no                                           100 200 300   100 200 300
#   float32  little  zlib                                         100 200 300   100 200 300
#   float32  big     no                                           100 200 300   100 200 300
#   float32  big     zlib            7.1838967e-41 2.592262e-41 5.3903748e-41   100 200 300
#   As described: Pillow swaps the bytes of big-endian packed int16, int32 and float32.
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

print(f"Pillow {PIL.__version__}, tifffile {tifffile.__version__}, NumPy {np.__version__}, {sys.byteorder}-endian machine")
print(f"{'type':8} {'order':7} {'packed':7} {'Pillow':>48}   tifffile")
wrong = set()
for kind in ("uint16", "int16", "int32", "float32"):
    numbers = np.arange(100, 900, 100).astype(kind).reshape(2, 4)
    for order, mark in (("little", "<"), ("big", ">")):
        for packing in (None, "zlib"):
            tifffile.imwrite("grey.tif", numbers, byteorder=mark, compression=packing, photometric="minisblack")
            assert np.array_equal(tifffile.imread("grey.tif"), numbers), "tifffile reads what it has written"
            try:
                with Image.open("grey.tif") as image:
                    read = np.asarray(image)
            except OSError as error:
                sys.exit(f"CHANGED: Pillow refuses {kind}, {order}-endian, packed: {packing}: {error}")
            first, true = [[f"{x:.8g}" for x in rows[0, :3].tolist()] for rows in (read, numbers)]
            print(f"{kind:8} {order:7} {packing or 'no':7} {' '.join(first):>48}   {' '.join(true)}")
            if not np.array_equal(read, numbers):
                how = "swapped" if np.array_equal(read, numbers.byteswap()) else "otherwise"
                wrong.add((kind, order, packing, how))

if wrong != {(kind, "big", "zlib", "swapped") for kind in ("int16", "int32", "float32")}:
    sys.exit(f"CHANGED: the TIFFs that Pillow reads wrongly are {sorted(wrong, key=str) or 'none'}")
print("As described: Pillow swaps the bytes of big-endian packed int16, int32 and float32.")
PYTHON
