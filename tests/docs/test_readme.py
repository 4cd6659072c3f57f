"""Every command in README and guides is one that works: each is run here, or named with the test that runs it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from documents import GUIDES, README, ROOT, WITH_COMMANDS, all_commands, blocks, commands, name, text
from sweeping import here
from terminal import without_prefect

RESULTS = ROOT / "docs" / "results"

# What takes minutes, a server or a fresh machine, and where it is run for real.
ELSEWHERE = {
    "make install": "tests/docs/test_setup.py",
    'make install PIP_EXTRA_INDEX_URL="$CPU_INDEX"': "tests/docs/test_setup.py",
    ". .venv/bin/activate": "tests/docs/test_setup.py",
    "make test": ".ci/run",
    "make test-slow": "Makefile",
    "make docs": "tests/docs/test_site.py",
    "make cluster": "tests/helpers/loopback.py",
    "kmpl up": "tests/commands/test_up.py",
    "kmpl up --postgres postgresql://kmpl@127.0.0.1 --store s3://bucket/kmpl --dask tcp://127.0.0.1:8786": (
        "tests/commands/test_up_elsewhere.py"
    ),
    "cp deploy/env.example deploy/.env": "tests/deploy/test_compose.py",
    "docker compose --file deploy/compose.yaml up --build --detach --wait": "tests/deploy/test_compose.py",
    "kmpl audit": "tests/commands/test_benchmark.py",
    "kmpl label photos --labels labels.csv --out pseudo_labels.csv --gallery gallery.html": (
        "tests/jobs/test_label_folder.py"
    ),
    "kmpl label photos --labels labels.csv --out surer_labels.csv --expect-accuracy 0.99": (
        "tests/jobs/test_label_folder.py"
    ),
    "kmpl label photos --new-files": "tests/jobs/test_label_new_files.py",
    "kmpl data MNIST": "tests/datasets/test_duplicates.py",
    **dict.fromkeys(
        (
            "mlflow server --host 127.0.0.1 --port 5000 --workers 1 "
            "--backend-store-uri postgresql://kmpl@127.0.0.1/kmpl_mlflow "
            "--artifacts-destination s3://bucket/kmpl/mlflow",
            "prefect server start --host 127.0.0.1 --port 4200",
            "dask scheduler --host 127.0.0.1 --port 8786",
            "dask worker tcp://127.0.0.1:8786 --nthreads 1 --no-nanny",
            "export MLFLOW_TRACKING_URI=http://127.0.0.1:5000",
            "export OPTUNA_STORAGE=postgresql://kmpl@127.0.0.1/kmpl_optuna",
            "export PREFECT_API_URL=http://127.0.0.1:4200/api",
            "export KMPL_STORE=s3://bucket/kmpl",
            "export KMPL_DASK=tcp://127.0.0.1:8786",
            "kmpl doctor",
            "kmpl sweep --ratios 0.4,0.2 --name spread",
        ),
        "tests/flows/test_cluster.py",
    ),
    "kmpl compare three other": "tests/tracking/test_summary_runs.py",
    "kmpl benchmark cost": "tests/benchmarks/speed/test_cost.py",
    "kmpl benchmark shards": "tests/benchmarks/speed/test_shards_benchmark.py",
    **dict.fromkeys(
        (
            "kmpl label photos --labels labels.csv --out pseudo_labels.csv --backbone efficientnet-lite0 --shards 4",
            "kmpl label photos --labels labels.csv --out pseudo_labels.csv --backbone features:vectors",
            "kmpl suggest photos --backbone features:vectors --budget 20 --out to_label.csv",
        ),
        "tests/jobs/test_label_sharded.py",
    ),
    "kmpl benchmark keystrokes stamps clipart": "tests/benchmarks/accuracy/test_keystrokes.py",
    "kmpl benchmark pictures stamps clipart": "tests/benchmarks/accuracy/test_pictures.py",
    "kmpl benchmark folder": "tests/benchmarks/accuracy/test_own_folder.py",
    "prefect deployment run label-images/folder --param folder=photos --param labels=labels.csv": (
        "tests/flows/test_label_images.py"
    ),
    "kmpl suggest photos --budget 20 --out to_label.csv --sheet to_label.png": "tests/jobs/test_suggest_folder.py",
    "kmpl suggest photos --labels to_label.csv --budget 20 --out to_label_2.csv": ("tests/jobs/test_suggest_folder.py"),
    "kmpl review photos": "tests/commands/test_review.py",
    "kmpl review photos --labels labels.csv --out reviewed.csv": "tests/commands/test_review.py",
    **dict.fromkeys(
        (
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true "
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=$PWD label-studio start",
            "export LABEL_STUDIO_API_KEY=…",
            "kmpl label-studio push photos --url http://localhost:8080 --project photos --classes cat,dog",
            "kmpl label-studio pull photos --url http://localhost:8080 --project photos --out labels.csv",
            "kmpl label-studio push photos --url http://localhost:8080 --project photos --labels pseudo_labels.csv",
        ),
        "tests/label_studio/test_real_server.py",
    ),
    **dict.fromkeys(
        (
            "kmpl label-studio loop photos --url http://localhost:8080 --project photos --out pseudo_labels.csv",
            "kmpl label photos --labels labels.csv --out tasks.json",
            "kmpl label photos --labels export.json --out pseudo_labels.csv",
            "prefect deployment run label-images/label-studio --param folder=photos --param project=photos",
        ),
        "tests/label_studio/test_real_loop.py",
    ),
    "kmpl benchmark fewest": "tests/commands/test_benchmark.py",
    "kmpl benchmark ingredients": "tests/benchmarks/accuracy/test_ingredients.py",
    "kmpl benchmark literature": "tests/commands/test_benchmark.py",
    "kmpl benchmark notebook": "tests/commands/test_benchmark.py",
    "kmpl benchmark speed": "tests/benchmarks/speed/test_table.py",
    "kmpl predict digits": "tests/tracking/test_load_model.py",
    "kmpl predict digits --format json --out predictions.jsonl": "tests/commands/test_predict.py",
    "kmpl export --onnx champion.onnx --safetensors champion.safetensors": "tests/tracking/test_load_model.py",
    "kmpl predict digits --model champion.onnx": "tests/tracking/test_load_model.py",
    "kmpl predict digits --format request --out request.json": "tests/tracking/test_load_model.py",
    "MLFLOW_DISABLE_TELEMETRY=true MLFLOW_TRACKING_URI=sqlite:///mlruns/mlflow.db mlflow models serve "
    "-m models:/kmpl@champion --env-manager local --port 5001": "tests/tracking/test_load_model.py",
    "curl --silent --header 'Content-Type: application/json' --data @request.json http://127.0.0.1:5001/invocations": (
        "tests/tracking/test_load_model.py"
    ),
    "prefect deployment run semi-supervised/ratio-sweep": "tests/commands/test_up.py",
    "prefect deployment run semi-supervised/ratio-sweep --param trials=20 --param 'seeds=[0, 1, 2, 3, 4]'": (
        "tests/commands/test_up.py"
    ),
    "prefect deployment run semi-supervised/quick --param 'seeds=[0, 1]'": "tests/commands/test_up.py",
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
@pytest.mark.parametrize("command", [marked(c) for c in all_commands() if c.startswith("kmpl run")])
def test_each_documented_run_works(command: str, tmp_path: Path) -> None:
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
def test_the_documented_sweeps_work_one_after_the_other(tmp_path: Path) -> None:
    kmpl = str(Path(sys.prefix) / "bin" / "kmpl")
    study = [c.split() for page in GUIDES for c in commands(page) if c.startswith(SWEEPING) and c not in ELSEWHERE]
    assert [words[1] for words in study] == ["sweep", "sweep", "report", "cache", "tune", "tune", "sweep"]
    for words in study:
        words = [FEWER.get(w, w) for w in words[1:]]
        if words[0] in ("sweep", "tune"):
            ratios = [] if "--ratios" in words else ["--ratios", "0.2"]
            words += [*SMALL, "--protocol=literature", *ratios]
        if words[0] == "tune":
            words += ["--trials=2", "--seeds=0"]
        done = subprocess.run(
            [kmpl, *words], cwd=tmp_path, capture_output=True, text=True, check=False, env=without_prefect()
        )
        assert (done.returncode, done.stderr) == (0, ""), words
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_readme_has_no_command_that_no_guide_has() -> None:
    in_guides = {command for page in GUIDES for command in commands(page)}
    inline = re.findall(r"`(kmpl [^`]*? -[^`]*|kmpl up)`", text(README))
    assert inline
    shown = [*inline, *(c for c in commands(README) if c.startswith("kmpl "))]
    assert {c for c in shown if not c.endswith(("--help", "--help-all"))} <= in_guides


def test_the_readme_is_a_page() -> None:
    assert len(text(README).splitlines()) <= 150


def test_the_readme_has_a_line_for_every_folder() -> None:
    there = {"kmpl/cli.py", "flows/", "tests/", "mlruns/"}
    there |= {f"kmpl/{path.parent.name}/" for path in (ROOT / "kmpl").glob("*/__init__.py")}
    section = text(README).split("## The folders")[1].split("```")[1]
    assert {line.split()[0] for line in section.strip().splitlines()} == there


def toml_example() -> str:
    (example,) = [block for page in WITH_COMMANDS for block in blocks(page, "toml")]
    return example


def is_part(block: str, of: str) -> bool:
    """Say whether all lines of a block stand in another one, in their order: then it runs with that."""
    rest = iter(of.splitlines())
    return block != of and all(line in rest for line in block.splitlines() if line)


WRITTEN = [(name(page), block) for page in WITH_COMMANDS for block in blocks(page, "python")]
EXAMPLES = [(page, block) for page, block in WRITTEN if not any(is_part(block, other) for _, other in WRITTEN)]


@pytest.mark.parametrize(("page", "block"), EXAMPLES, ids=[page for page, _ in EXAMPLES])
def test_each_python_example_prints_what_it_says(
    page: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, page, "exec"), {})
    says = [line.split("  # ")[1] for line in block.splitlines() if line.startswith("print(")]
    assert says
    assert capsys.readouterr().out.splitlines() == says


def test_no_command_is_left_untried() -> None:
    untried = [c for c in all_commands() if c not in ELSEWHERE and not c.startswith(("kmpl run", *SWEEPING))]
    assert len(all_commands()) > 40
    assert not untried


@pytest.mark.parametrize(("command", "where"), ELSEWHERE.items())
def test_what_is_run_elsewhere_is_documented_and_there(command: str, where: str) -> None:
    assert command in all_commands(), "no page shows it any more"
    words = [w for w in re.findall(r"[a-z-]+", command) if w not in ("kmpl", "run", "benchmark", "make", "venv", "bin")]
    assert words[0] in (ROOT / where).read_text(encoding="utf-8").lower()


def numbers(table: str) -> Any:
    return json.loads((RESULTS / f"{table}.json").read_text(encoding="utf-8"))


def mean_sd(shares: list[float], digits: int) -> str:
    return f"{100 * mean(shares):.{digits}f} ± {100 * stdev(shares):.{digits}f}"


def test_the_readmes_table_and_price_are_those_of_the_results() -> None:
    table = numbers("literature")
    given = {
        row["ratio"]: row["labels"] for row in table["rows"] if row["arm"] == "labelled-only"
    }  # the oracle has all
    errors = {(given[row["ratio"]], row["arm"]): (100 - 100 * row["mean"], 100 * row["sd"]) for row in table["rows"]}
    said = {draw: f"{error:.2f} ± {sd:.2f}" for draw, (error, sd) in errors.items()}
    for labels in (100, 600, 1_000, 3_000):
        row = re.search(rf"^\| {labels:,} \| (.*) \|$", text(README), re.MULTILINE)
        assert row
        arms = ("labelled-only", "self-training", "pseudo-label", "oracle")
        assert row[1].replace("*", "").split(" | ") == [said[labels, arm] for arm in arms]
    assert f"({said[100, 'label-spreading']} % with 100 labels)" in text(README)
    price = " ".join(text(README).split("\n\n")[1].split())
    for arm in ("labelled-only", "pseudo-label"):
        assert f"errs on {errors[100, arm][0]:.2f} %" in price
    minutes = table["times"]["ratio 0.00167, pseudo-label"] / 60
    assert f"after {minutes:.0f} minutes on one CPU core" in price


def test_what_the_readme_says_of_pictures_is_that_of_the_results() -> None:
    rows = numbers("pictures")["rows"]

    def accuracy(folder: str, n: int, arm: str) -> float:
        return 100 * mean(r["accuracy"] for r in rows if (r["folder"], r["per_class"], r["arm"]) == (folder, n, arm))

    readme = " ".join(text(README).split())
    assert f"kmpl names {accuracy('stamps', 5, 'kmpl'):.1f} % of the others rightly" in readme
    spans = []
    for n in (1, 5, 20):
        gains = [accuracy(name, n, "kmpl") - accuracy(name, n, "logistic regression") for name in ("stamps", "clipart")]
        spans.append(f"{min(gains):.0f} to {max(gains):.0f}")
    assert f"With one, five and twenty labels a class kmpl is {spans[0]}, {spans[1]} and {spans[2]} points" in readme


def test_what_the_readme_says_of_the_fewest_labels_is_that_of_the_results() -> None:
    rows = numbers("fewest")["rows"]
    for way, before in (("at random", "One of each class, drawn at random: "), ("suggested", "knowing the classes: ")):
        draws = [row["errors"]["pseudo-label"] for row in rows if (row["labels"], row["way"]) == (10, way)]
        assert f"{before}{mean_sd(draws, 2)} %" in text(README)
    right = [row["everything"] for row in numbers("folder-digits-300")["rows"]]
    ten = f"{mean_sd(right, 1)} % right in {'ten' if len(right) == 10 else len(right)} draws"
    assert f"300 small digits, 30 labelled: {ten}, the worst {100 * min(right):.1f} %" in text(README)
