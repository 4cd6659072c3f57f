"""The workflow: the only place that imports prefect."""

import kmpl  # noqa: F401  # a worker imports a flow and nothing before it: OpenMP's waiting is set before all else
