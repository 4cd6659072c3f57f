"""``deploy/compose.yaml``: no secret, no root, pinned, and the commands that ``kmpl up`` runs. Nothing is started."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from honcho.environ import parse_procfile

from kmpl.commands.up_elsewhere import Elsewhere

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
WHERE = Elsewhere(postgres="postgresql://kmpl@postgres", store="s3://kmpl/steps", dask="tcp://scheduler:8786")
PAGES = {"mlflow": "http://mlflow:5000", "prefect": "http://prefect:4200", "optuna": "http://optuna:8080"}
ENDS = {"prepare", "deployments"}
SERVES = {"postgres", "store", "mlflow", "prefect", "optuna", "scheduler"}


def words(command: Any) -> list[str]:
    return list(command) if isinstance(command, list) else shlex.split(str(command))


def of_up(name: str) -> list[str]:
    """Return the command of `kmpl up` with these addresses, as it would be in a container."""
    command = dict(parse_procfile((ROOT / "Procfile").read_text(encoding="utf-8")).processes)[name]
    command = command.rpartition("exec ")[2].replace("127.0.0.1", "0.0.0.0")
    values = WHERE.environment(Path("/scratch/mlruns"), PAGES)
    values |= {"KMPL_PREFECT_PORT": "4200", "KMPL_MLFLOW_PORT": "5000", "KMPL_OPTUNA_PORT": "8080"}
    command = re.sub(r"\$\{KMPL_ARTIFACTS:\+(.*?)\}", r"\1", command).replace("$KMPL_MLRUNS/studies", "/scratch")
    return shlex.split(re.sub(r"\$(KMPL_\w+)", lambda found: values[found[1]], command))


@pytest.mark.parametrize("name", ["prefect", "worker", "mlflow", "optuna"])
def test_servers_run_the_commands_of_kmpl_up(name: str) -> None:
    command = words(SERVICES[name]["command"])
    if "--allowed-hosts" in command:  # MLflow's own names in the containers' network
        place = command.index("--allowed-hosts")
        assert "mlflow:5000" in command[place + 1].split(",")
        del command[place : place + 2]
    assert sorted(command) == sorted(of_up(name))
    assert command[:2] == of_up(name)[:2]


def test_all_find_each_other_where_kmpl_up_says() -> None:
    said = WHERE.environment(Path("/scratch"), PAGES)
    for name in ("mlflow", "prefect", "worker", "computer", "deployments"):
        environment = SERVICES[name]["environment"]
        for variable in ("KMPL_STORE", "KMPL_DASK", "MLFLOW_TRACKING_URI", "OPTUNA_STORAGE"):
            assert environment[variable] == said[variable]
        assert environment["PREFECT_API_URL"] == "http://prefect:4200/api"
    database = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
    assert SERVICES["prefect"]["environment"][database] == said[database]
    assert words(SERVICES["prepare"]["command"]) == [
        "python",
        "-m",
        "kmpl.commands.up_prepare",
        WHERE.postgres,
        WHERE.store,
    ]
    hosts = set(re.findall(r"(?:://|@)(?:\w+@)?(\w+)(?=[:/,\"]|$)", TEXT, re.MULTILINE)) - {"127", "kmpl", "docs"}
    assert hosts <= SERVICES.keys()


def test_dask_is_started_as_the_guide_says() -> None:
    guide = (ROOT / "docs" / "guides" / "cluster.md").read_text(encoding="utf-8")
    said = [shlex.split(line) for line in guide.splitlines() if line.startswith("dask ")]
    scheduler, worker = words(SERVICES["scheduler"]["command"]), words(SERVICES["computer"]["command"])
    for command in (scheduler, worker):
        known = next(one for one in said if one[:2] == command[:2])
        flags = {word for word in known if word.startswith("--")} - {"--host"}
        assert flags <= set(command)
    assert worker[2] == WHERE.dask


def test_no_secret_is_in_the_file() -> None:
    assert not re.search(r"://[^\s@/]*:[^\s@/$]*@", TEXT)
    example = dict(line.split("=", 1) for line in (ROOT / "deploy/env.example").read_text().splitlines() if "=" in line)
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == example.keys()
    assert set(example.values()) == {""}
    for variables in [COMPOSE["x-addresses"], *(service.get("environment", {}) for service in SERVICES.values())]:
        for name, value in variables.items():
            if re.search("PASSWORD|SECRET|KEY|ROOT_USER", name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]*\}", value), name
    assert "deploy/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_nobody_is_root_and_only_this_machine_reaches_the_ports() -> None:
    for name, service in SERVICES.items():
        assert service["user"] in ("10001:10001", "postgres"), name
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ())), name
    stages = DOCKERFILE.split("\nFROM ")[1:]
    assert [re.findall(r"^USER (.*)", stage, re.MULTILINE)[-1] for stage in stages] == ["10001:10001"] * 2


def test_images_are_pinned() -> None:
    images = [service["image"] for service in SERVICES.values()] + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    for image in images:
        assert re.search(r":\D*\d+([.-]\d+)+", image), image
    for name, service in SERVICES.items():
        if "build" in service:
            assert f"AS {service['build']['target']}\n" in DOCKERFILE, name
    assert "--constraint constraints.txt" in DOCKERFILE


def test_what_serves_has_a_check_of_its_health_and_others_wait_for_it() -> None:
    for name in SERVES:
        assert {"test", "interval", "timeout", "retries"} <= SERVICES[name]["healthcheck"].keys(), name
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in ENDS else "service_healthy"
            assert how["condition"] == (expected if other in SERVES | ENDS else "service_started"), (name, other)
        assert (service["restart"] == "no") == (name in ENDS)


def test_what_must_outlive_its_container_is_in_a_volume() -> None:
    kept = {volume.split(":")[0] for name in ("postgres", "store") for volume in SERVICES[name]["volumes"]}
    assert kept == COMPOSE["volumes"].keys()


def test_the_images_files_are_there() -> None:
    for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
