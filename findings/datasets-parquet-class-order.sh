#!/usr/bin/env bash
# Package:  datasets 5.2.0 (pyarrow 25.0.1), Python 3.11
# Expected: load_dataset("parquet") of two files, both written by Dataset.to_parquet() with their class names, keeps each
#           row's class. If the names stand in another order in the second file, it numbers them anew or refuses, as
#           concatenate_datasets does ("The features can't be aligned").
# Seen:     the names of the first file are put over the numbers of all others: each cat of the second file is a dog, without
#           error or warning. Files that are separate splits (train and test) get the names of the first, too. If the
#           second file has more classes, loading succeeds, and reading the name of the third class raises ValueError.
# Date:     2026-11-30
# Output seen:
#   datasets 5.2.0, pyarrow 25.0.1
#   first.parquet, loaded alone: ['cat', 'dog'], ['cat', 'cat', 'cat']
#   second.parquet, loaded alone: ['dog', 'cat'], ['cat', 'cat', 'cat']
#   both as one split: ['cat', 'cat', 'cat', 'dog', 'dog', 'dog']
#   as train and test: {'train': ['cat', 'cat', 'cat'], 'test': ['dog', 'dog', 'dog']}
#   concatenate_datasets: ValueError: The features can't be aligned b
#   As described: the cats of the second file are dogs.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==25.0.1

HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 venv/bin/python - <<'PYTHON'
import sys

import datasets
import pyarrow
from datasets import ClassLabel, Dataset, Features

datasets.disable_progress_bars()
print(f"datasets {datasets.__version__}, pyarrow {pyarrow.__version__}")


def classes(data):
    return data.features["label"].int2str(data["label"][:])


FILES = {"first": ["cat", "dog"], "second": ["dog", "cat"]}
for file, names in FILES.items():
    labels = ClassLabel(names=names)
    data = Dataset.from_dict({"label": [labels.str2int("cat")] * 3}, features=Features({"label": labels}))
    data.to_parquet(f"{file}.parquet")
    alone = Dataset.from_parquet(f"{file}.parquet", cache_dir=f"cache-{file}")
    print(f"{file}.parquet, loaded alone: {alone.features['label'].names}, {classes(alone)}")

paths = [f"{file}.parquet" for file in FILES]
both = datasets.load_dataset("parquet", data_files=paths, split="train", cache_dir="cache-both")
print("both as one split:", classes(both))
parts = datasets.load_dataset("parquet", data_files=dict(zip(("train", "test"), paths)), cache_dir="cache-parts")
print("as train and test:", {part: classes(data) for part, data in parts.items()})
try:
    datasets.concatenate_datasets([Dataset.from_parquet(path, cache_dir=f"again-{path}") for path in paths])
    joined = "joins them"
except ValueError as error:
    joined = f"ValueError: {str(error)[:31]}"
print("concatenate_datasets:", joined)

mixed = ["cat"] * 3 + ["dog"] * 3
if (classes(both), classes(parts["test"]), joined[:10]) != (mixed, ["dog"] * 3, "ValueError"):
    sys.exit(f"CHANGED: {classes(both)}, {classes(parts['test'])}, {joined}")
print("As described: the cats of the second file are dogs.")
PYTHON
