#!/usr/bin/env bash
# Package:  datasets 5.2.0 (pyarrow 25.0.1), Python 3.11
# Expected: cast_column to ClassLabel(names=["1", "2", "3"]) takes the text "1" and the number 1 for the class "1" (labels 1,
#           2, 3 in a CSV come as numbers), or refuses numbers; and it refuses what is no name and no class, such as "0".
# Seen:     the text "1" is class "1", the number 1 is class "2", and the number 3, of which there is no class, is kept
#           without a word. The text "0", which is no name, is taken for a number and becomes class "1"; "01" becomes "2".
#           Only a text without a number is refused.
# Date:     2026-11-30
# Output seen:
#   datasets 5.2.0
#   classes ['1', '2', '3']
#   '1'   cast: 1
#   1     cast: 2
#   3     cast: number 3, which has no name
#   '0'   cast: 1
#   '01'  cast: 2
#   'x'   cast: ValueError
#   As described: numbers count from 0, and so does a text that is no name, if it is a number.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==25.0.1

HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 venv/bin/python - <<'PYTHON'
import sys

import datasets
from datasets import ClassLabel, Dataset

datasets.disable_progress_bars()
print(f"datasets {datasets.__version__}")
labels = ClassLabel(names=["1", "2", "3"])
print("classes", labels.names)
seen = {}
for value in ("1", 1, 3, "0", "01", "x"):
    try:
        number = Dataset.from_dict({"label": [value]}).cast_column("label", labels)["label"][0]
        seen[value] = labels.int2str(number) if number < len(labels.names) else f"number {number}, which has no name"
    except ValueError as error:
        seen[value] = "ValueError"
    print(f"{value!r:5} cast: {seen[value]}")

expected = {"1": "1", 1: "2", 3: "number 3, which has no name", "0": "1", "01": "2", "x": "ValueError"}
if seen != expected:
    sys.exit(f"CHANGED: {seen}")
print("As described: numbers count from 0, and so does a text that is no name, if it is a number.")
PYTHON
