"""Label Studio by its REST API: projects, tasks, predictions, annotations; and nowhere else."""
