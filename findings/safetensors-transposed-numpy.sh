#!/usr/bin/env bash
# Package:  safetensors 0.8.0 (NumPy 2.4.6), Python 3.11
# Expected: safetensors.numpy.save_file writes the numbers of an array, however it lies in memory (as numpy.save does), or
#           refuses one that is not contiguous, as safetensors.torch does.
# Seen:     of a transposed array, or one in Fortran's order (as some routines of SciPy and files of MATLAB give), the memory
#           is written as it lies, with the array's shape: the file holds the numbers at other places, without error or
#           warning. The docstring asks for contiguous arrays, but nothing checks it.
# Date:     2026-11-30
# Output seen:
#   safetensors 0.8.0, NumPy 2.4.6
#   as it is                     saved [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]  read [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
#   transposed                   saved [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]  read [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
#   Fortran's order              saved [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]  read [[0.0, 3.0, 1.0], [4.0, 2.0, 5.0]]
#   transposed, made contiguous  saved [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]  read [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
#   As described: what is not in C's order is saved with its numbers at other places.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6

venv/bin/python - <<'PYTHON'
import sys

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

print(f"safetensors {safetensors.__version__}, NumPy {np.__version__}")
features = np.arange(6, dtype=np.float32).reshape(2, 3)
ARRAYS = {
    "as it is": features,
    "transposed": features.T,
    "Fortran's order": np.asfortranarray(features),
    "transposed, made contiguous": np.ascontiguousarray(features.T),
}
wrong = []
for name, array in ARRAYS.items():
    save_file({"features": array}, "features.safetensors")
    np.save("features.npy", array)
    read = load_file("features.safetensors")["features"]
    assert np.array_equal(np.load("features.npy"), array), "numpy keeps each of them"
    print(f"{name:28} saved {array.round(1).tolist()}  read {read.round(1).tolist()}")
    assert sorted(read.ravel()) == sorted(array.ravel()), "the same numbers, at other places"
    if not np.array_equal(read, array):
        wrong.append(name)

if wrong != ["transposed", "Fortran's order"]:
    sys.exit(f"CHANGED: saved wrongly are {wrong or 'none'}")
print("As described: what is not in C's order is saved with its numbers at other places.")
PYTHON
