"""A key changes with everything that determines a result, and with nothing else."""

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType

import grimp
import pytest
import torch

from kmpl.config.backbones import BACKBONES
from kmpl.config.choices import Choice
from kmpl.config.datasets import DATASETS
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.networks import NETWORKS
from kmpl.config.presets import merge
from kmpl.config.strategies import STRATEGIES
from kmpl.method import steps
from kmpl.method.step_interface import STEP_NAMES
from kmpl.store import fingerprints, kept_results
from kmpl.store.fingerprints import code_version, key

PACKAGE = Path(fingerprints.__file__).parents[1]
STEPS = ("fit", "embed", "vote", "evaluate", "experiment")
Edit = Callable[[str, str], None]


def fresh(step: str) -> str:
    """Return the code version as a new process would see it."""
    return code_version.__wrapped__(step)


def modules_of(step: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the modules whose source is in the code version of a step."""
    read, source = set[str](), fingerprints._source

    def noted(module: str) -> str | None:
        text = source(module)
        read.update({module} if text is not None else ())
        return text

    with monkeypatch.context() as patch:
        patch.setattr(fingerprints, "_source", noted)
        fresh(step)
    return read


@pytest.fixture(scope="module")
def package_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("copy") / "kmpl"
    return Path(shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("*.gz", "__pycache__")))


@pytest.fixture
def edit(package_copy: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """Let fingerprints read a copy of the package, and give what appends a text to one of its modules."""
    monkeypatch.setattr(fingerprints, "__file__", str(package_copy / "store" / "fingerprints.py"))
    before: dict[Path, str] = {}

    def append(module: str, text: str) -> None:
        path = package_copy.joinpath(*module.split(".")).with_suffix(".py")
        before[path] = path.read_text(encoding="utf-8")
        path.write_text(before[path] + text, encoding="utf-8")

    yield append
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")


RUNS = {
    "training.loop": {"fit", "experiment"},
    "training.ema": {"fit", "experiment"},
    "models.embedding": {"fit", "embed", "evaluate", "experiment"},
    "models.registry": {"fit", "embed", "evaluate", "experiment"},
    "models.cnn": {"fit", "embed", "evaluate", "experiment"},
    "method.cluster_graph": {"vote", "experiment"},
    "method.cluster_ensemble": {"vote", "experiment"},
    "training.examples": {"fit", "experiment"},
    "images.augmentation": {"fit", "experiment"},
    "images.transforms": {"fit", "embed", "evaluate", "experiment"},
    "images.views": {"fit", "evaluate", "experiment"},
    "config.strategies": {"vote", "experiment"},
    "runtime.seeds": {"fit", "vote", "evaluate", "experiment"},
    "method.steps": {"fit", "vote", "experiment"},
    "method.pseudo_labels": {"vote", "experiment"},
    "method.kmeans": {"vote", "experiment"},
    "method.evaluation": {"evaluate", "experiment"},
    "datasets.test_set": {"evaluate", "experiment"},
    "datasets.registry": {"evaluate", "experiment"},
    "datasets.pool": {"evaluate", "experiment"},
    "method.experiment": {"experiment"},
    "reports.experiment_report": {"experiment"},
    "config.presets": {"experiment"},
    "reports.experiment_plots": set(),
    "reports.sweep_page": set(),
    "runtime.files": {"evaluate", "experiment"},
    "store.store": set(),
}


@pytest.mark.parametrize("module", RUNS)
def test_an_edit_makes_new_what_runs_it_and_nothing_else(module: str, edit: Edit) -> None:
    before = {step: fresh(step) for step in STEPS}
    edit(module, "\n_NEW = 1\n")
    assert {step for step in STEPS if fresh(step) != before[step]} == RUNS[module]


def test_comments_and_layout_are_no_code(edit: Edit) -> None:
    before = [fresh(step) for step in STEPS]
    for module in RUNS:
        edit(module, "\n\n\n# a word about it\n")
    assert [fresh(step) for step in STEPS] == before


@pytest.mark.usefixtures("edit")
def test_a_copy_elsewhere_is_the_same_code() -> None:
    assert [fresh(step) for step in STEPS] == [code_version(step) for step in STEPS]


CHOICES: dict[str, Mapping[str, Choice]] = {
    "kmpl.config.backbones": BACKBONES,
    "kmpl.config.strategies": STRATEGIES,
    "kmpl.config.networks": NETWORKS,
    "kmpl.config.datasets": DATASETS,
}


def reached(step: str) -> set[str]:
    """Return all modules that a step's modules import by grimp's graph, as fingerprints promises to follow them."""
    graph, waiting, found = grimp.build_graph("kmpl"), list(fingerprints._CODE[step]), set[str]()
    while waiting:
        module = waiting.pop()
        if module not in found and module not in fingerprints._NO_NUMBERS:
            found.add(module)
            waiting += graph.find_modules_directly_imported_by(module) if module != "kmpl.method.steps" else ()
            waiting += [str(choice.code).partition(":")[0] for choice in CHOICES.get(module, {}).values()]
    return {module for module in found if PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py").is_file()}


@pytest.mark.parametrize("step", STEPS)
def test_all_that_a_step_imports_is_in_its_code_version(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = reached(step)
    assert len(found) > 2
    assert modules_of(step, monkeypatch) == found


def test_every_step_is_kept_under_its_code_or_gives_nothing_to_keep() -> None:
    assert set(kept_results.CACHED) | {"load", "report"} == set(STEP_NAMES)
    assert {how.code for how in kept_results.CACHED.values()} <= set(fingerprints._CODE)


def test_the_code_of_an_experiment_holds_the_code_of_all_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = modules_of("experiment", monkeypatch)
    for step in STEPS:
        assert modules_of(step, monkeypatch) <= whole


def test_packages_hold_no_code_of_their_own() -> None:
    """Their ``__init__`` is in no code version. What two of them export when it is asked for, no step can name: other
    programs use kmpl's, and no step runs anything of tracking's."""
    for path in PACKAGE.rglob("__init__.py"):
        exports = {"__getattr__"} if path.parent in (PACKAGE, PACKAGE / "tracking") else set()
        text = path.read_text(encoding="utf-8")
        code = [
            node
            for node in ast.parse(text).body
            if not isinstance(node, ast.Expr | ast.Assign | ast.ImportFrom | ast.If)
        ]
        assert {getattr(node, "name", "") for node in code} == exports
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(
            r"^ *(from kmpl import .*KMeansPseudoLabeller|import kmpl$)", path.read_text("utf-8"), re.M
        )
    assert not any(module.startswith("kmpl.tracking") for step in fingerprints._CODE for module in reached(step))


# A device enters a key by its kind, which is all that this module tells; a vote's key has embed's code beside its own;
# what steps on frozen features give is not kept.
_OTHERWISE_IN_THE_KEY = {"kmpl.runtime.devices", "kmpl.models.embedding", "kmpl.method.frozen_steps"}


@pytest.mark.parametrize(
    ("step", "functions"),
    [
        ("fit", (steps.pretrain, steps.retrain, steps.repeated, steps._train, kept_results._unpack_fit)),
        ("vote", (steps.pseudo_label, steps.cluster_seed)),
    ],
)
def test_functions_that_steps_call_are_in_the_code_version_too(
    step: str, functions: tuple[FunctionType, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """steps.py's imports are not followed: what its functions name must be reached another way."""
    used = set()
    for function in functions:
        for name in inspect.getclosurevars(function).globals.values():
            used.add(name.__name__ if isinstance(name, ModuleType) else getattr(name, "__module__", ""))
    used = {m for m in used if m.startswith("kmpl.")} - fingerprints._NO_NUMBERS - _OTHERWISE_IN_THE_KEY
    assert used
    assert used <= modules_of(step, monkeypatch)


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch, tiny: ExperimentConfig) -> Callable[[], dict[str, str]]:
    """Return keys that all must differ from the first one, by what was changed."""

    def keys() -> dict[str, str]:
        found = {"nothing": key("fit", tiny, pool="a", seed=0)}
        found["step"] = key("embed", tiny, pool="a", seed=0)
        found["input"] = key("fit", tiny, pool="b", seed=0)
        found["another input"] = key("fit", tiny, pool="a", seed=1)
        found["name of an input"] = key("fit", tiny, pool="a", seeds=0)
        found["one more input"] = key("fit", tiny, pool="a", seed=0, more=None)
        torch.set_num_threads(2)
        found["threads"] = key("fit", tiny, pool="a", seed=0)
        torch.set_num_threads(1)
        with monkeypatch.context() as patch:
            patch.setattr(fingerprints, "pick_device", torch.device)
            found["device"] = key("fit", merge(tiny, {"device": "cuda"}), pool="a", seed=0)
        with monkeypatch.context() as patch:
            patch.setattr(fingerprints, "pick_precision", lambda *_: torch.float64)
            found["precision"] = key("fit", tiny, pool="a", seed=0)
        with monkeypatch.context() as patch:
            patch.setattr(fingerprints, "code_version", lambda step: f"another {step}")
            found["code"] = key("fit", tiny, pool="a", seed=0)
        with monkeypatch.context() as patch:
            patch.setattr("platform.machine", lambda: "another")
            found["machine"] = key("fit", tiny, pool="a", seed=0)
        return found | {
            name: _with_version(monkeypatch, tiny, name)
            for name in ("torch", "torchvision", "numpy", "scikit-learn", "scipy")
        }

    return keys


def _with_version(monkeypatch: pytest.MonkeyPatch, config: ExperimentConfig, name: str) -> str:
    version = fingerprints.metadata.version
    with monkeypatch.context() as patch:
        patch.setattr(fingerprints.metadata, "version", lambda n: "0.0" if n == name else version(n))
        patch.setattr(fingerprints, "_library_versions", fingerprints._library_versions.__wrapped__)  # nothing cached
        return key("fit", config, pool="a", seed=0)


def test_a_key_differs_with_each_thing_that_it_stands_for(changed: Callable[[], dict[str, str]]) -> None:
    keys = changed()
    assert len(set(keys.values())) == len(keys)
    assert changed() == keys


def test_a_key_does_not_differ_by_what_a_step_does_not_read(tiny: ExperimentConfig) -> None:
    there = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    one = key("fit", tiny, pool="a", seed=0)
    assert key("fit", tiny, seed=0, pool="a") == one
    assert key("fit", merge(tiny, {"device": there, "labels": 200, "arms": "oracle"}), pool="a", seed=0) == one


SCRIPT = """
from kmpl.config.choices import Choice
from kmpl.config.datasets import DATASETS
from kmpl.config.experiment import ExperimentConfig
from kmpl.config.networks import NETWORKS
from kmpl.runtime.devices import use_threads
from kmpl.store.fingerprints import key
use_threads(1)
print(key("experiment", ExperimentConfig(), **{name: {"b": 1, "a": [1.5, None]} for name in ("y", "x")}))
"""


def test_two_processes_make_the_same_key() -> None:
    other_hashes = os.environ | {"PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", SCRIPT]
    other = subprocess.run(command, env=other_hashes, capture_output=True, text=True, check=True).stdout.strip()
    both = {"a": [1.5, None], "b": 1}
    assert other == key("experiment", ExperimentConfig(), x=both, y=both)
    assert len(other) == 64
