"""The review page: a person names clusters and corrects images in the browser; knows neither MLflow nor Prefect."""
