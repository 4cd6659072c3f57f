"""Every command in the README is one that works: each is either run here or named with the test that runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sweeping import here

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Return the lines of all sh blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = (line.split("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


# What takes minutes, a server or a fresh machine, and where it is run for real.
ELSEWHERE = {
    "make demo": "tests/test_demo.py",
    "make test": ".ci/run",
    "make test-slow": "Makefile",
    ".venv/bin/kmpl sweep --help": "tests/test_cli.py",
    ".venv/bin/kmpl up": "tests/test_up.py",
    "kmpl up": "tests/test_up.py",
    "kmpl audit": "tests/benchmarks/test_commands.py",
    "kmpl label photos --labels labels.csv --out pseudo_labels.csv --gallery gallery.html": "tests/test_label.py",
    "kmpl label photos --labels labels.csv --out pseudo_labels.csv --expect-accuracy 0.99 --overwrite": (
        "tests/test_label.py"
    ),
    "kmpl benchmark cost": "tests/benchmarks/test_cost.py",
    "kmpl benchmark folder": "tests/benchmarks/test_own_images.py",
    "prefect deployment run label-images/folder --param folder=photos --param labels=labels.csv": (
        "tests/flows/test_label_images.py"
    ),
    "kmpl suggest photos --budget 20 --out to_label.csv --sheet to_label.png": "tests/test_suggest_files.py",
    "kmpl suggest photos --labels labels.csv --budget 20 --out to_label.csv --overwrite": "tests/test_suggest_files.py",
    "kmpl benchmark fewest": "tests/benchmarks/test_commands.py",
    "kmpl benchmark ingredients": "tests/benchmarks/test_ingredients.py",
    "kmpl benchmark literature": "tests/benchmarks/test_commands.py",
    "kmpl benchmark notebook": "tests/benchmarks/test_commands.py",
    "kmpl benchmark speed": "tests/benchmarks/test_speed.py",
    "kmpl predict digits": "tests/tracking/test_loading.py",
    "kmpl predict digits --format json --out predictions.jsonl": "tests/test_model_commands.py",
    "kmpl export --onnx champion.onnx --safetensors champion.safetensors": "tests/tracking/test_loading.py",
    "kmpl predict digits --model champion.onnx": "tests/tracking/test_loading.py",
    "kmpl predict digits --format request --out request.json": "tests/tracking/test_loading.py",
    "MLFLOW_DISABLE_TELEMETRY=true MLFLOW_TRACKING_URI=sqlite:///mlruns/mlflow.db mlflow models serve "
    "-m models:/kmpl@champion --env-manager local --port 5001": "tests/tracking/test_loading.py",
    "curl --silent --header 'Content-Type: application/json' --data @request.json http://127.0.0.1:5001/invocations": (
        "tests/tracking/test_loading.py"
    ),
    "prefect deployment run semi-supervised/ratio-sweep": "tests/test_up.py",
    "prefect deployment run semi-supervised/ratio-sweep --param trials=20 --param 'seeds=[0, 1, 2, 3, 4]'": (
        "tests/test_up.py"
    ),
    "prefect deployment run semi-supervised/quick --param 'seeds=[0, 1]'": "tests/test_up.py",
    """prefect deployment run semi-supervised/quick --param 'experiment={"pretrain": {"epochs": 12}}'""": (
        "tests/flows/test_semi_supervised.py"
    ),
}
# Settings that make a documented run small enough for every day; the command is otherwise run as it stands.
SMALL = (
    "--pool.size=600",
    "--clustering.n-clusters=30",
    "--clustering.n-prototypes=20",
    "--threads=1",
    "--pseudo-labels.rounds=1",
    "--pretrain.epochs=1",
    "--pretrain.images-per-epoch=128",
    "--retrain.epochs=1",
    "--retrain.images-per-epoch=128",
    "--pseudo-labels.threshold=0.1",
)


def marked(command: str) -> Any:
    """Two that between them change protocol, arms, file and settings are run every day; VGG16 alone takes minutes."""
    every_day = "--json" in command or "--config" in command
    return pytest.param(command, marks=() if every_day else pytest.mark.slow)


@pytest.mark.usefixtures("few_test_images")
@pytest.mark.filterwarnings("ignore:.*type hint is inferred:UserWarning")  # of MLflow's own import
@pytest.mark.parametrize("command", [marked(c) for c in commands() if c.startswith("kmpl run")])
def test_each_run_in_the_readme_works(command: str, tmp_path: Path) -> None:
    words = command.split()
    (tmp_path / "mine.toml").write_text(toml_example(), encoding="utf-8")
    small = [] if "--protocol" in words or "--preset" in words else ["--protocol=literature"]
    small += [s for s in SMALL if not any(s.split("=")[0] == w for w in words)]
    budget = [] if "--labels" in words else ["--ratio", "0.2"]
    words = [w for i, w in enumerate(words) if w != "--ratio" and words[i - 1] != "--ratio"]
    done = here(*words[1:], *budget, *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


# What makes a documented sweep small enough: fewer experiments, fewer trials, and the smaller of the two tests.
FEWER = {"0,1,2": "0,1", "10": "1"}
SWEEPING = ("kmpl sweep", "kmpl tune", "kmpl report", "kmpl cache")


@pytest.mark.slow
def test_the_readmes_sweeps_work_one_after_the_other(tmp_path: Path) -> None:
    kmpl = str(Path(sys.prefix) / "bin" / "kmpl")
    study = [c.split() for c in commands() if c.startswith(SWEEPING)]
    assert [words[1] for words in study] == ["sweep", "sweep", "report", "cache", "tune", "tune", "sweep"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    for words in study:
        words = [FEWER.get(w, w) for w in words[1:]]
        if words[0] in ("sweep", "tune"):
            ratios = [] if "--ratios" in words else ["--ratios", "0.2"]
            words += [*SMALL, "--protocol=literature", *ratios]
        if words[0] == "tune":
            words += ["--trials=2", "--seeds=0"]
        done = subprocess.run([kmpl, *words], cwd=tmp_path, capture_output=True, text=True, check=False, env=outside)
        assert (done.returncode, done.stderr) == (0, ""), words
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_readme_has_a_line_for_every_folder() -> None:
    there = {"kmpl/cli.py", "flows/", "tests/", "mlruns/"}
    there |= {f"kmpl/{path.parent.name}/" for path in (ROOT / "kmpl").glob("*/__init__.py")}
    section = README.split("## The folders")[1].split("```")[1]
    assert {line.split()[0] for line in section.strip().splitlines()} == there


def toml_example() -> str:
    found = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert found, "the README shows a settings file"
    return found[1]


def test_each_python_example_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
        says = [line.split("  # ")[1] for line in block.splitlines() if line.startswith("print(")]
        assert capsys.readouterr().out.splitlines() == says


def test_no_command_is_left_untried() -> None:
    known = [c for c in commands() if c in ELSEWHERE or c.startswith(("kmpl run", *SWEEPING))]
    assert commands()
    assert sorted(known) == sorted(commands())


def test_pictures_exist() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file()
