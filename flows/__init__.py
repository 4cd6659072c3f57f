"""The workflow: the only place that imports prefect."""
