"""What happens around a `kedro run`: its inputs are checked, and it is tracked in MLflow."""

from __future__ import annotations

import atexit
import logging
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines as project_pipelines
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from ergokedro.data.sources import CorpusStream
from ergokedro.design.records import RunSummary
from ergokedro.errors import ErgokedroError
from ergokedro.files import fingerprint, flatten
from ergokedro.models.factory import has_transformers_form
from ergokedro.remote import RemoteCopy, cache_folder, is_remote
from ergokedro.runtime import mlflow_store, tracking
from ergokedro.runtime.config_loader import current_parameters, experiment_name
from ergokedro.runtime.console import where_results_are
from ergokedro.runtime.left_out import left_out
from ergokedro.runtime.locks import Command, OutputLock
from ergokedro.runtime.provenance import Provenance, outside

log = logging.getLogger(__name__)


class ProjectHooks:
    """The project's only hooks."""

    def __init__(self) -> None:
        self._tracker: tracking.Tracker | None = None
        self._context: Any = None
        self._parameters: dict[str, Any] = {}
        self._provenance: Provenance | None = None
        self._lock: OutputLock | None = None
        self._command: Command | None = None
        self._catalog: DataCatalog | None = None
        self._log_models = False
        self._commit = ""
        self._left_out: str | None = None

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Keep the context, which holds the configuration."""
        self._context = context

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Check the inputs, lock the outputs, then open the parent run."""
        self._tracker = self._left_out = None  # of an earlier session in this process
        self._catalog = catalog
        self._parameters = self._context.config_loader["parameters"]
        check_inputs(pipeline, catalog)
        lock = self._lock_outputs(pipeline)
        atexit.register(self.release)
        self._provenance = Provenance(catalog, self._parameters, lock.alone, outside(catalog))
        if not self._parameters["plan"]:
            outdated = pipeline
            if run_params["only_missing_outputs"]:
                outdated = self._provenance.outdated(pipeline)
            if "results" in outdated.all_outputs():
                self._left_out = left_out(catalog, current_parameters())
                if self._left_out:
                    log.warning(self._left_out)
            self._provenance.forget(outdated.all_outputs())
            self._start_tracking(run_params)

    @property
    def _experiment(self) -> str:
        return experiment_name(self._context.config_loader, self._parameters["experiment"])

    @property
    def _lock_folder(self) -> Path:
        root = self._context.config_loader["globals"]["data_root"]
        if is_remote(root):
            return cache_folder() / fingerprint(root)
        return Path(self._context.project_path) / root

    def _lock_outputs(self, pipeline: Pipeline) -> OutputLock:
        self.release()
        self._lock = OutputLock(self._lock_folder / f".{self._experiment}.lock")
        self._lock.acquire(pipeline.all_outputs(), self._experiment)
        return self._lock

    def release(self) -> None:
        """Write what the outputs were made from, and let other processes write them."""
        if self._provenance is not None:
            self._provenance.write()
        if self._lock is not None:
            self._lock.release()

    def _start_tracking(self, run_params: dict[str, Any]) -> None:
        config = self._context.config_loader["tracking"]
        if not config.enabled:
            return
        project = Path(self._context.project_path)
        commit = self._commit = tracking.git_commit(project)
        uri = mlflow_store.tracking_uri(config.tracking_uri, project)
        self._command = Command(self._lock_folder)
        self._log_models = config.log_models
        self._tracker = tracking.Tracker(uri, config.experiment, models=config.log_models)
        names = run_params.get("pipeline_names") or run_filters(run_params) or ["everything"]
        self._tracker.start(
            f"{self._experiment}: {'+'.join(names)}",
            {
                **flatten({**self._parameters, "experiment": self._experiment}),
                "env": run_params["env"],
                "git_commit": commit,
            },
            {
                "mlflow.source.git.commit": commit,
                "mlflow.source.name": "kedro run",
                **self._command.tags,
            },
        )
        self._tracker.close_killed(self._command)
        if config.system_metrics:
            self._tracker.monitor_system()
        tracking.activate(self._tracker)
        # A signal ends the process by an exception, and at the process's end the runs that are
        # still open are closed; otherwise they would stay RUNNING.
        atexit.register(self._tracker.finish, "KILLED")

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Nodes in a namespace belong to the child run of its name."""
        if self._tracker is not None and node.namespace:
            self._tracker.enter(node.namespace)

    @hook_impl
    def after_node_run(self, node: Node, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Log what cleaning counted, and what a node of one run received and made."""
        if self._tracker is None:
            return
        if not node.namespace:
            if {"documents", "near_duplicates"} <= outputs.keys():
                self._tracker.leave()
                metrics = cleaning_metrics(outputs["documents"], outputs["near_duplicates"])
                self._tracker.log_metrics(metrics)
            return
        log_node(self._tracker, node, {**inputs, **outputs, "git_commit": self._commit})

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Record what the dataset was made from; the card is the last of a run."""
        if self._provenance is not None:
            content = data.key if isinstance(data, CorpusStream) else None
            self._provenance.add(dataset_name, node, content)
        if self._tracker is not None and dataset_name == f"{node.namespace}.card":
            self._tracker.enter(str(node.namespace))
            if self._log_models:
                self._log_model(node, self._tracker)
            self._tracker.complete()
            self._tracker.leave()

    def _log_model(self, node: Node, tracker: tracking.Tracker) -> None:
        assert self._catalog is not None
        folder = self._catalog[f"{node.namespace}.model"].local()
        if has_transformers_form(folder):
            tracker.log_model(folder)
        else:
            log.info("%s: MLflow has no form for this model; it is not logged", node.namespace)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Close the runs as failed."""
        self.release()
        self._finish_tracking("FAILED")

    def _finish_tracking(self, status: str) -> None:
        if self._tracker is not None and self._command is not None:
            self._tracker.finish(status)
            self._command.end()  # not before: its runs would count as left open

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Attach figures and report to the parent run, and print where the results are."""
        self.release()
        if self._parameters["plan"]:
            return
        files = reporting_files(pipeline, catalog)
        if self._tracker is not None:
            self._tracker.leave()
            for path in files.values():
                self._tracker.log_file(path)
            self._finish_tracking("FINISHED")
            tracking.activate(None)
        if "xe_table" in pipeline.all_outputs():
            from ergokedro.reporting.report import format_table

            shown = (catalog.load(name) for name in ("xe_table", "results", "design"))
            print(format_table(*shown))
        for line in where_results_are(files):
            print(f"  {line}")
        page = None if self._tracker is None else self._tracker.page
        if page:
            local = page.startswith(mlflow_store.UI_ADDRESS)
            print(f"  {page}{' after `mlflow ui --app-name ergokedro`' if local else ''}")
        if self._left_out:
            print(f"\n{self._left_out}")


def run_filters(params: dict[str, Any]) -> list[str]:
    """The nodes, tags, namespaces and outputs that a partial `kedro run` was given."""
    kinds = ("node_names", "tags", "namespaces", "from_nodes", "to_nodes", "from_inputs")
    given = (params.get(kind) or [] for kind in (*kinds, "to_outputs"))
    return [str(name) for names in given for name in names]


def check_inputs(pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Refuse to start without what other pipelines make.

    Raises
    ------
    ErgokedroError
        Naming what is missing and the command that makes it.
    """
    missing = sorted(
        name
        for name in pipeline.inputs()
        if not name.startswith("params:") and name != "parameters" and not catalog.exists(name)
    )
    if not missing:
        return
    _check_k(catalog)
    made = {name for pipeline in project_pipelines.values() for name in pipeline.all_outputs()}
    if unknown := [name for name in missing if name not in made]:
        raise ErgokedroError(
            f"Missing: {', '.join(unknown)}. No pipeline makes this. If it is an input of a figure "
            "in a plugin, correct `inputs` of its FigureSpec."
        )
    # What makes the missing inputs may need inputs that are missing, too.
    needed = set(missing)
    makers: list[str] = []
    for name in reversed([name for name in project_pipelines if name != "__default__"]):
        if needed & project_pipelines[name].all_outputs():
            makers.insert(0, name)
            needed |= {n for n in project_pipelines[name].inputs() if not catalog.exists(n)}
    raise ErgokedroError(
        f"Missing: {', '.join(missing)}. First run `kedro run --pipelines {','.join(makers)}` "
        "with the same --env and --params."
    )


def _check_k(catalog: DataCatalog) -> None:
    """Refuse more components than the corpus has: their manifest can never be made."""
    if not catalog.exists("corpus"):
        return
    labels = catalog.load("corpus").labels
    largest = max(current_parameters().runs)
    if largest > len(labels):
        raise ErgokedroError(
            f"k = {largest}, but the corpus has {len(labels)} categories: {', '.join(labels)}. "
            "Lower k or mixture.top_n."
        )


def log_node(tracker: tracking.Tracker, node: Node, datasets: dict[str, Any]) -> None:
    """Log what a node of one run received and made, and leave its child run.

    Parameters
    ----------
    datasets : the node's inputs and outputs by their names, and `git_commit`.
    """
    data = {name.removeprefix(f"{node.namespace}."): v for name, v in datasets.items()}
    log_run(tracker, data)
    if "reference" in data and "nll" in data:  # the run of a published model ends here
        tracker.complete()
    tracker.leave()


def log_run(tracker: tracking.Tracker, data: dict[str, Any]) -> None:
    """Log the datasets of one K's node, by their names inside its namespace."""
    if "history" in data:  # of the training node alone; the summary is an input of evaluation too
        manifest, summary = data["manifest"], data["summary"]
        tracker.log_params(
            {
                "model": data["params:model"].preset,
                "architecture": data["params:model"].architecture,
                "git_commit": data["git_commit"],
                **run_params(manifest, data["token_store"], summary),
            }
        )
        tracker.log_metrics({key: getattr(summary, key) for key in _SUMMARY_METRICS})
        tracker.log_json("manifest.json", manifest.model_dump(mode="json"))
    if "reference" in data:
        tracker.log_params(data["reference"].model_dump())
    if "nll" in data and "card" not in data:  # the node of the card receives them again
        from ergokedro.analysis.measurement import component_means

        means = component_means(data["nll"], data["evaluation_windows"])
        tracker.log_metrics(
            {
                mlflow_store.metric_name(f"{row.split}_xe", row.component): row.xe
                for row in means.itertuples()
            }
        )


def cleaning_metrics(documents: Any, near_duplicates: Any) -> dict[str, float]:
    """Documents kept and dropped for each reason; near-duplicates that were only listed."""
    from ergokedro.data.cleaning import KEPT, REASONS

    statuses = documents.status.value_counts()
    counts = {name: float(statuses.get(name, 0)) for name in (KEPT, *REASONS)}
    listed = near_duplicates.reason[~near_duplicates.dropped.astype(bool)].value_counts()
    counts |= {f"listed_{reason}": float(n) for reason, n in listed.items()}
    return {mlflow_store.metric_name("cleaning", name): n for name, n in counts.items()}


_SUMMARY_METRICS = (
    "final_train_loss",
    "nonfinite_steps",
    "loss_spikes",
    "gradient_norm_median",
    "gradient_norm_max",
    "seconds",
)


def run_params(manifest: Any, store: Any, summary: RunSummary) -> dict[str, Any]:
    """The flat parameters by which runs are told apart in the MLflow UI."""
    return {
        "k": manifest.k,
        "components": ", ".join(manifest.labels),
        "D": manifest.total_tokens,
        "corpus_fingerprint": store.meta["inputs"]["corpus"],
        "store_fingerprint": store.fingerprint,
        "tokenizer_fingerprint": manifest.tokenizer,
        "manifest_fingerprint": manifest.fingerprint,
        "seed": summary.seed,
        "model_parameters": summary.parameters,
        "steps": summary.steps,
        "tokens_seen": summary.tokens_seen,
        "epochs": summary.epochs,
        "batch_size": summary.batch_size,
        "initial_weights": summary.initial_weights,
        "schedule": summary.schedule,
        "device": summary.device,
        "threads": summary.threads,
    }


def reporting_files(pipeline: Pipeline, catalog: DataCatalog) -> dict[str, Path]:
    """Files of the reporting layer that the pipeline wrote.

    Returns
    -------
    Path or URL of each -> the path at which it can be read on this machine.
    """
    files = {}
    for name in sorted(pipeline.all_outputs()):
        config = catalog.config_resolver.resolve_pattern(name)
        url = str(config.get("filepath", ""))
        if "08_reporting" not in Path(url).parts:
            continue
        if not is_remote(url):
            files[url] = Path(url)
        elif catalog.exists(name):
            options = {**(config.get("credentials") or {}), **(config.get("fs_args") or {})}
            for key in ("open_args_load", "open_args_save"):  # of a file, not the file system
                options.pop(key, None)
            files[url] = RemoteCopy(url, options).pull()
    return {url: path for url, path in files.items() if path.is_file()}
