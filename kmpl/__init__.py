"""Semi-supervised image classification by K-means pseudo-labelling."""

from typing import TYPE_CHECKING

from kmpl.runtime.openmp import wait_briefly
from kmpl.runtime.proxies import pass_by

if TYPE_CHECKING:
    from kmpl.method.estimator import KMeansPseudoLabeller
    from kmpl.models.embed_files import embed_files

wait_briefly()  # before any module of ours loads torch, whose OpenMP asks only once

__version__ = "0.1.0"
__all__ = ["KMeansPseudoLabeller", "__version__", "embed_files"]

pass_by()  # here, because all that is of kmpl comes by: commands, flows, processes, Dask's workers, others' programs


def __getattr__(name: str) -> object:
    """Import what is for others' programs when it is first asked for: it takes seconds, and no command needs it."""
    if name == "KMeansPseudoLabeller":
        from kmpl.method.estimator import KMeansPseudoLabeller

        return KMeansPseudoLabeller
    if name == "embed_files":
        from kmpl.models.embed_files import embed_files

        return embed_files
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
