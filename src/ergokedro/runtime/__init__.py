"""All that knows Kedro or MLflow: configuration, hooks, tracking, the sweep."""
