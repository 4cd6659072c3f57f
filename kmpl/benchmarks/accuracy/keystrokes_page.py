"""The benchmark of keystrokes as markdown."""

from collections.abc import Mapping, Sequence

import numpy as np

from kmpl.benchmarks.accuracy.keystrokes import Outcome, keys_until
from kmpl.benchmarks.provenance import sessions_provenance
from kmpl.reports.sweep_page import grid

_INTRODUCTION = """\
How many keys a person presses until so many images of a folder are named rightly, beginning without a label. The person
is simulated and answers from the true labels: *random* and *suggest* name one image a key, *clusters* one cluster a key
(by the class of four fifths of its images; else it is mixed, which takes a key too, as does each new round), *both*
clusters while a key is expected to name four images, then suggested ones. `kmpl label --check off` names the rest, with
what was named as given labels. Mean over the seeds; a dash: not within the keys that were tried, with some seed."""
_UNTIL = "keys until … are right"
_AFTER = "right after … keys, %"
_SHARES = (0.8, 0.9, 0.95, 0.97, 0.99)


def markdown(outcomes: Sequence[Outcome], parts: Sequence[Mapping[str, str]]) -> str:
    """Return two tables for each folder: keys until a share is right, and the share after so many keys."""
    texts = ["# Keystrokes", _INTRODUCTION]
    for folder in dict.fromkeys(outcome.folder for outcome in outcomes):
        ours = [outcome for outcome in outcomes if outcome.folder == folder]
        ways = list(dict.fromkeys(outcome.way for outcome in ours))
        budgets = sorted({outcome.keys for outcome in ours})
        until = [[way, *(_until([o for o in ours if o.way == way], share) for share in _SHARES)] for way in ways]
        after = [[way, *(_after([o for o in ours if (o.way, o.keys) == (way, n)]) for n in budgets)] for way in ways]
        texts += [
            f"## {folder}",
            grid([_UNTIL, *(f"{share:.0%}" for share in _SHARES)], until, left=(_UNTIL,)),
            grid([_AFTER, *map(str, budgets)], after, left=(_AFTER,)),
        ]
    return "\n\n".join([*texts, sessions_provenance(parts)]) + "\n"


def _until(outcomes: Sequence[Outcome], share: float) -> str:
    seeds = dict.fromkeys(outcome.seed for outcome in outcomes)
    keys = [keys_until([o for o in outcomes if o.seed == seed], share) for seed in seeds]
    known = [n for n in keys if n is not None]
    return f"{np.mean(known):.0f}" if len(known) == len(keys) else "–"


def _after(outcomes: Sequence[Outcome]) -> str:
    return f"{100 * np.mean([outcome.right for outcome in outcomes]):.1f}" if outcomes else ""
