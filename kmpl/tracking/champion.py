"""The champion: the registered model that serves. It moves only when validation improves."""

from collections.abc import Collection
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from kmpl.errors import UserError
from kmpl.reports.statistics import at_least

ALIAS = "champion"
_JUDGED = {"validation_accuracy", "validation_loss", "validation_images", "origin"}


@dataclass(frozen=True)
class Candidate:
    """A trained network that asks to serve."""

    run: str
    """MLflow's id of its arm's run."""
    task: str
    """Data set and protocol: validation means the same only within one task."""
    accuracy: float
    """On validation, fraction."""
    loss: float
    """On validation, nats; decides where accuracy ties, as it often does on few images."""
    images: int
    """Validation images."""
    origin: str
    """Where it comes from, for people."""

    @property
    def rank(self) -> tuple[float, float]:
        """The higher the better: what accuracy is at least, given so many images, then log-loss."""
        return at_least(self.accuracy, self.images), -self.loss

    @property
    def said(self) -> str:
        """What validation says, for people."""
        sure = f"{self.accuracy:.2%} of {self.images} images, at least {self.rank[0]:.2%}"
        return f"validation {sure}, log-loss {self.loss:.4f}"


def promote(client: MlflowClient, model: str, candidate: Candidate) -> str:
    """Register the candidate's model and move the champion's alias to it if validation improved; return what was done.

    The same sentence is kept in the version's tag ``decision`` and description. A model that is registered already is
    not registered again.
    """
    version = _registered(client, model, candidate)
    champion = _champion(client, model)
    if champion is not None and champion.version == version.version:
        return str(version.tags.get("decision") or f"{model} version {version.version} is the champion already")
    moves, why = _judge(candidate, champion)
    decision = f"{model} version {version.version} ({candidate.origin}) {why}"
    client.set_model_version_tag(model, version.version, "decision", decision)
    client.update_model_version(model, version.version, decision)
    if moves:
        client.set_registered_model_alias(model, ALIAS, version.version)
    return decision


def holds(client: MlflowClient, model: str, runs: Collection[str]) -> bool:
    """Say whether there is a champion, and a version of one of these runs; versions may be deleted on a page."""
    if _champion(client, model) is None:
        return False
    return any(version.run_id in runs for version in client.search_model_versions(f"name = '{model}'"))


def _judge(candidate: Candidate, champion: ModelVersion | None) -> tuple[bool, str]:
    """Return whether the alias moves, and why."""
    if champion is None:
        return True, f"became the first champion: {candidate.said}"
    tags, number = champion.tags, champion.version
    if tags.get("task") != candidate.task:
        return False, (
            f"was refused: version {number} was judged on {tags.get('task')}, this one on {candidate.task}; "
            "register it under another --model"
        )
    if not tags.keys() >= _JUDGED:
        return True, f"became champion: {candidate.said}; nothing is known of version {number}'s validation"
    held = Candidate(
        str(champion.run_id),
        candidate.task,
        float(tags["validation_accuracy"]),
        float(tags["validation_loss"]),
        int(tags["validation_images"]),
        tags["origin"],
    )
    if candidate.rank > held.rank:
        return True, f"became champion: {candidate.said}; version {number} had {held.said}"
    return False, f"was refused: {candidate.said}, is no better than version {number}: {held.said}"


def _champion(client: MlflowClient, model: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(model, ALIAS)
    except MlflowException:  # no alias yet
        return None


def _registered(client: MlflowClient, model: str, candidate: Candidate) -> ModelVersion:
    """Return the candidate's version, registering model and version where they are missing."""
    try:
        client.get_registered_model(model)
    except MlflowException:
        client.create_registered_model(model, description="Best pseudo-label networks by validation; see each version.")
    found = client.search_model_versions(f"name = '{model}' and run_id = '{candidate.run}'")
    if found:
        return found[0]
    outputs = client.get_run(candidate.run).outputs
    if outputs is None or not outputs.model_outputs:
        raise UserError(f"run {candidate.run} has no model; it was removed from the store")
    logged = outputs.model_outputs[0].model_id
    try:
        client.get_logged_model(logged)
    except MlflowException as error:
        raise UserError(
            f"the model of run {candidate.run} was deleted; delete that run and its parent too, and give the same "
            "command again: both are logged anew, from what the store of steps keeps"
        ) from error
    tags = {"task": candidate.task, "origin": candidate.origin}
    tags |= {"validation_accuracy": repr(candidate.accuracy), "validation_loss": repr(candidate.loss)}
    tags["validation_images"] = str(candidate.images)
    return client.create_model_version(model, f"models:/{logged}", candidate.run, tags, model_id=logged)
