"""MLflow's page, opened for model training: `mlflow ui --app-name ergokedro`.

MLflow has one page for language-model applications, with which it starts, and one for model
training, which has the table of runs. The browser remembers which one was chosen. This app is
MLflow's own; it makes the second one the choice of a browser that has not chosen yet.
"""

from __future__ import annotations

from flask import Response, request
from mlflow.server import app as pages
from mlflow.server.fastapi_app import app

__all__ = ["app"]

_CHOICE = b"""<head><script>
if (localStorage.getItem("mlflow.workflowType_v1") === null)
  localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"');
</script>"""


@pages.after_request
def choose_model_training(response: Response) -> Response:
    """Add the choice to the page; other answers stay as they are."""
    if response.mimetype == "text/html" and request.path.endswith("/"):
        response.direct_passthrough = False
        response.set_data(response.get_data().replace(b"<head>", _CHOICE, 1))
    return response
