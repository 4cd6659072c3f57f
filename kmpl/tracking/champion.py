"""The champion: the registered model that serves. A candidate replaces it only if its validation is better."""

from collections.abc import Collection
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from kmpl.errors import UserError
from kmpl.reports.statistics import at_least

ALIAS = "champion"
_VALIDATION_TAGS = {"validation_accuracy", "validation_loss", "validation_images", "origin"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A trained network that may become champion."""

    run: str
    """MLflow's id of its arm's run."""
    task: str
    """Data set and protocol; validation results are comparable within one task only."""
    accuracy: float
    """On held-out validation labels, fraction."""
    loss: float
    """Log-loss on held-out validation labels, nats; it decides ties of accuracy, which few images make frequent."""
    images: int
    """Number of validation images."""
    origin: str
    """Sweep and experiment, for people."""

    @property
    def rank(self) -> tuple[float, float]:
        """Order of candidates, higher is better: the lower confidence bound of accuracy, then log-loss."""
        return at_least(self.accuracy, self.images), -self.loss

    @property
    def validation_text(self) -> str:
        """The validation results in words."""
        accuracy = f"{self.accuracy:.2%} of {self.images} images, at least {self.rank[0]:.2%}"
        return f"validation {accuracy}, log-loss {self.loss:.4f}"


def promote(client: MlflowClient, model: str, candidate: Candidate) -> str:
    """Register the candidate's model; move the champion's alias to it if its validation is better.

    Returns the decision in words. The version's tag ``decision`` and its description hold the same sentence. A model
    that is registered already is not registered again.
    """
    version = _register(client, model, candidate)
    champion = _champion(client, model)
    if champion is not None and champion.version == version.version:
        return str(version.tags.get("decision") or f"{model} version {version.version} is the champion already")
    is_better, verdict = _compare(candidate, champion)
    decision = f"{model} version {version.version} ({candidate.origin}) {verdict}"
    client.set_model_version_tag(model, version.version, "decision", decision)
    client.update_model_version(model, version.version, decision)
    if is_better:
        client.set_registered_model_alias(model, ALIAS, version.version)
    return decision


def has_champion_and_version(client: MlflowClient, model: str, runs: Collection[str]) -> bool:
    """Say whether the model has a champion, and a version of one of these runs; a user may have deleted either."""
    if _champion(client, model) is None:
        return False
    return any(version.run_id in runs for version in client.search_model_versions(f"name = '{model}'"))


def _compare(candidate: Candidate, champion: ModelVersion | None) -> tuple[bool, str]:
    """Return whether the candidate replaces the champion, and the reason."""
    if champion is None:
        return True, f"became the first champion: {candidate.validation_text}"
    tags = champion.tags
    number = champion.version
    if tags.get("task") != candidate.task:
        return False, (
            f"was refused: version {number} was judged on {tags.get('task')}, this one on {candidate.task}; "
            "register it under another --model"
        )
    if not tags.keys() >= _VALIDATION_TAGS:
        return True, f"became champion: {candidate.validation_text}; version {number} has no validation results"
    current = Candidate(
        run=str(champion.run_id),
        task=candidate.task,
        accuracy=float(tags["validation_accuracy"]),
        loss=float(tags["validation_loss"]),
        images=int(tags["validation_images"]),
        origin=tags["origin"],
    )
    if candidate.rank > current.rank:
        return True, f"became champion: {candidate.validation_text}; version {number} had {current.validation_text}"
    return (
        False,
        f"was refused: {candidate.validation_text}, is no better than version {number}: {current.validation_text}",
    )


def _champion(client: MlflowClient, model: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(model, ALIAS)
    except MlflowException:  # no alias yet
        return None


def _register(client: MlflowClient, model: str, candidate: Candidate) -> ModelVersion:
    """Return the candidate's version; register model and version if they are missing."""
    try:
        client.get_registered_model(model)
    except MlflowException:
        client.create_registered_model(model, description="Best pseudo-label networks by validation; see each version.")
    versions = client.search_model_versions(f"name = '{model}' and run_id = '{candidate.run}'")
    if versions:
        return versions[0]
    outputs = client.get_run(candidate.run).outputs
    if outputs is None or not outputs.model_outputs:
        raise UserError(f"run {candidate.run} has no model; it was removed from the store")
    model_id = outputs.model_outputs[0].model_id
    try:
        client.get_logged_model(model_id)
    except MlflowException as error:
        raise UserError(
            f"the model of run {candidate.run} was deleted; delete that run and its parent too, and run the same "
            "command again: it logs both anew, from the store of steps"
        ) from error
    tags = {
        "task": candidate.task,
        "origin": candidate.origin,
        "validation_accuracy": repr(candidate.accuracy),
        "validation_loss": repr(candidate.loss),
        "validation_images": str(candidate.images),
    }
    return client.create_model_version(model, f"models:/{model_id}", candidate.run, tags, model_id=model_id)
