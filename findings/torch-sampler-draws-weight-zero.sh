#!/usr/bin/env bash
# Package:  torch 2.13.0 (CPU; 2.14.1 does the same; NumPy 2.4.6), Python 3.11; about 1 GB
# Expected: WeightedRandomSampler(weights, n, replacement=False) never draws an example of weight 0. If fewer than n have a
#           weight, it raises: the page of torch.multinomial says that n must not exceed the number of non-zero weights, and
#           more draws than there are weights do raise.
# Seen:     once all examples with a weight are drawn, those of weight 0 fill the rest, without error or warning, as if they
#           had one. So examples that weight 0 was to leave out (pseudo-labels that are not trusted) are trained on. With
#           replacement they are never drawn.
# Date:     2026-11-30
# Output seen:
#   torch 2.13.0+cpu
#   replacement=False   4 of 10, four with a weight: 0 of 400 draws have weight 0
#   replacement=False   8 of 10, four with a weight: 400 of 800 draws have weight 0
#   replacement=False  11 of 10, four with a weight: RuntimeError: cannot sample n_sample > prob_d
#   replacement=True    4 of 10, four with a weight: 0 of 400 draws have weight 0
#   replacement=True    8 of 10, four with a weight: 0 of 800 draws have weight 0
#   replacement=True   11 of 10, four with a weight: 0 of 1100 draws have weight 0
#   As described: without replacement, examples of weight 0 fill what is missing.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

venv/bin/python - <<'PYTHON'
import sys

import torch
from torch.utils.data import WeightedRandomSampler

print(f"torch {torch.__version__}")
weights = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0])  # examples 6 to 9 have a weight
seen = {}
for replacement in (False, True):
    for count in (4, 8, 11):
        drawn = []
        torch.manual_seed(0)
        try:
            for _ in range(100):
                drawn += WeightedRandomSampler(weights, count, replacement=replacement)
        except RuntimeError as error:
            seen[replacement, count] = f"RuntimeError: {str(error).splitlines()[0][:31]}"
        else:
            without = sum(weights[index] == 0 for index in drawn).item()
            seen[replacement, count] = f"{without} of {len(drawn)} draws have weight 0"
        print(f"replacement={replacement!s:6} {count:2} of 10, four with a weight: {seen[replacement, count]}")

found = [text.split(":")[0].split(" draws")[0] for text in seen.values()]
if found != ["0 of 400", "400 of 800", "RuntimeError", "0 of 400", "0 of 800", "0 of 1100"]:
    sys.exit(f"CHANGED: {seen}")
print("As described: without replacement, examples of weight 0 fill what is missing.")
PYTHON
