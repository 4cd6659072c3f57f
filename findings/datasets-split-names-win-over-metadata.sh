#!/usr/bin/env bash
# Package:  datasets 5.2.0 (Pillow 13.0.0, pyarrow as it comes)
# Expected: an imagefolder whose metadata.parquet lists every file with its label loads all of them, whatever files and
#           folders are called: the rows say what there is. If not, class folders inside one folder train/ keep their
#           images together.
# Seen:     1. a single file called IMG_test.png in a class folder becomes the only split and all else is dropped without a
#           word, although the metadata lists four files. 2. With all below train/ and the metadata there, a class folder
#           called test ends with ValueError: Instruction "test" corresponds to no data! 3. The same files without
#           folders, train/IMG_test.png among them, load whole.
# Date:     2026-11-30
# Output seen:
#   datasets 5.2.0
#   class folders, metadata lists all 4            {'test': 1}
#   class folders in train/, one is called test    ValueError: Instruction "test" corresponds to no data!
#   all files in train/, no folder below           {'train': 4}
#   As described: names of files and folders decide before the metadata is read.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check datasets==5.2.0 pillow==13.0.0

HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 venv/bin/python - <<'PYTHON'
import sys
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
from PIL import Image

datasets.disable_progress_bars()
print(f"datasets {datasets.__version__}")
CASES = {
    "class folders, metadata lists all 4": ("", ["cat/a.png", "cat/IMG_test.png", "dog/b.png", "dog/c.png"]),
    "class folders in train/, one is called test": ("train", ["cat/a.png", "cat/d.png", "dog/b.png", "test/c.png"]),
    "all files in train/, no folder below": ("train", ["a.png", "IMG_test.png", "b.png", "c.png"]),
}
seen = []
for number, (name, (below, files)) in enumerate(CASES.items()):
    root = Path(f"case{number}").absolute()
    for file in files:
        path = root / below / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    rows = pyarrow.table({"file_name": files, "label": ["cat", "cat", "dog", "dog"]})
    pyarrow.parquet.write_table(rows, root / below / "metadata.parquet")
    try:
        parts = datasets.load_dataset("imagefolder", data_dir=str(root), cache_dir=f"cache{number}")
        seen.append(str({part: len(data) for part, data in parts.items()}))
    except ValueError as error:
        seen.append(f"ValueError: {str(error).splitlines()[0]}")
    print(f"{name:46} {seen[-1]}")

if seen != ["{'test': 1}", 'ValueError: Instruction "test" corresponds to no data!', "{'train': 4}"]:
    sys.exit(f"CHANGED: {seen}")
print("As described: names of files and folders decide before the metadata is read.")
PYTHON
