"""The Prefect flows. The only folder that imports Prefect."""

import kmpl  # noqa: F401  # a worker imports a flow and nothing before it: OpenMP's waiting is set before all else
