"""``kmpl audit``: measure the faults of the reference notebook."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kmpl.benchmarks.options import AUDIT, AuditOptions
from kmpl.benchmarks.writing import RESULTS, check_out_folder, run_environment, stored_steps, write_table
from kmpl.commands.flags import MLRUNS, Folder
from kmpl.commands.options import overrides_of
from kmpl.config.experiment import Method
from kmpl.config.presets import load, merge


def audit(
    *,
    out: Path = RESULTS,
    options: Annotated[AuditOptions | None, Parameter(name="*", negative_iterable="")] = None,
    mlruns: Folder = MLRUNS,
    settings: Annotated[Method | None, Parameter(name="*", negative_iterable="")] = None,
) -> None:
    """Measure what each fault of the reference notebook is worth, with its own constants but a network of minutes.

    Args:
        out: Folder that the page (markdown, JSON) and its figure are written to.
        options: At which ratios, with which seeds.
        mlruns: Folder of the store of finished steps.
        settings: Single settings; --network vgg16 takes the notebook's, and days on a laptop.
    """
    check_out_folder(out)
    config = merge(load(*AUDIT), overrides_of(settings))
    chosen = options or AuditOptions()
    from kmpl.benchmarks.accuracy import audit as questions
    from kmpl.benchmarks.accuracy import audit_page

    steps = stored_steps(mlruns)
    answers = []
    for answer in questions.ask(config, chosen.ratios, chosen.seeds, steps):
        print(f"ratio {answer.ratio:g}, seed {answer.seed}: {answer.question}", flush=True)
        answers.append(answer)
    environment = run_environment()
    numbers = {"answers": [asdict(answer) for answer in answers], "environment": environment}
    write_table(out / "audit", audit_page.markdown(answers, environment), audit_page.figure(answers), numbers)
