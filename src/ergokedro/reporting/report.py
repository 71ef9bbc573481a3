"""The report: one self-contained page in HTML, the same in Markdown, and the table for a terminal.

Every statement about the results is made from the numbers and their intervals.
"""

from __future__ import annotations

import base64
import html
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pandas as pd

from ergokedro.design.evaluation_windows import FEW_DOCUMENTS
from ergokedro.design.mixture import Design, Manifest
from ergokedro.design.records import RunSummary
from ergokedro.parameters import Parameters
from ergokedro.reporting.decomposition import decomposition_insights, decomposition_table
from ergokedro.reporting.tables import Table, detail_insights, detail_tables, interval_text, p_text

_TITLE = "Cross entropy and the number of ergodic components"
_SIGNIFICANT = 0.05
_HARDLY_TRAINED = 0.5  # nats above the optimum
_WORDS = {
    "component": "a source of text of its own: a category of the corpus",
    "K": "number of components that a model was trained on, the total of tokens staying the same",
    "D": "that total: distinct training tokens of every model",
    "cross entropy (XE)": "mean of -log p(token | the tokens before it in its window), in nats",
    "nat": "unit of information: 1 nat = 1.44 bits",
    "L(t)": "cross entropy at the t-th token of a window; W: tokens in a window",
    "chain": "the models of K = 1, 2, ..., each tested on the components that it was trained on",
    "[low, high]": "interval over documents, by bootstrap; its coverage is analysis.confidence",
    "p, Holm": "chance of such a difference if there were none; corrected for testing several K",
    "specialist": "a model of one component alone, with D tokens or with D/K",
}
_LIBRARIES = ("ergokedro", "torch", "transformers", "numpy", "kedro")
_NUMBERS = ("xe", "low", "high", "smallest", "optimum", "excess")


@dataclass(frozen=True)
class Report:
    """The report's content.

    Attributes
    ----------
    insights : sentences.
    headline : XE by K, shown first; the others follow the figures, by title.
    """

    insights: list[str]
    headline: Table
    tables: dict[str, Table]


def build_report(
    results: pd.DataFrame,
    xe_table: pd.DataFrame,
    acceptance: pd.DataFrame,
    design: Design,
    manifests: list[Manifest],
    summaries: list[RunSummary],
    parameters: Parameters,
) -> Report:
    """Gather what the report says; the figures join it when it is rendered."""
    headline = Table(
        "Test text, nats a token, at equal totals of training tokens. xe: mean over the components "
        "that K was trained on, with its document-bootstrap interval; smallest: XE on "
        f"{design.components[0]} alone"
        + (
            "; optimum: of an exact reader of the K sources; excess: what lies above it."
            if "optimum" in xe_table
            else "."
        ),
        xe_table,
    )
    tables = {
        "Cross entropy by component": Table(
            "Test text, nats a token, with document-bootstrap intervals; in parentheses where the "
            "model was not trained on the component.",
            component_table(results),
        )
    }
    terms = decomposition_table(results)
    if len(terms):
        tables["The cost of K, term by term"] = Table(
            "Test text, nats a token. cost of K: the model of K less the specialist of the same "
            "component with all D tokens; it is the sum of starvation, identification and "
            "interference (less transfer, so it may be negative).",
            terms,
        )
    tables |= detail_tables(results)
    if len(acceptance):
        tables["Acceptance"] = Table(
            "The optimum of this corpus is known, so the instrument itself is checked. The bounds "
            "on the excess were set for the default parameters and are checked with these alone.",
            acceptance.assign(passed=acceptance.passed.map({True: "passed", False: "FAILED"})),
        )
    tables["Training"] = Table("Losses in nats a token.", training_table(summaries))
    tables["Words"] = Table(
        "More of each, with the formulas, in docs/measurement.md.",
        pd.DataFrame(_WORDS.items(), columns=["word", "meaning"]),
    )
    tables["Provenance"] = Table(
        "What made these numbers.", provenance(parameters, summaries, manifests, design)
    )
    tables["Parameters"] = Table(
        "Model and training as trained; the rest as analysed.", parameter_table(parameters)
    )
    return Report(insights(results, design), headline, tables)


def format_table(table: pd.DataFrame) -> str:
    """The table of XE per K as aligned text, nats a token."""
    shown = table[["k", *table.columns.intersection(_NUMBERS), "components"]].copy()
    for column in shown.columns.intersection(_NUMBERS):
        shown[column] = shown[column].map("{:.4f}".format)
    title = "Cross entropy on test text, nats a token (low, high: document bootstrap)"
    return f"\n{title}\n{shown.to_string(index=False)}\n"


def component_table(results: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """XE of every K on every component with its interval, as text."""
    xe = results[
        (results.quantity == "xe") & (results.series == "component") & (results.split == split)
    ]
    cells = [
        interval_text(row, ".4f") if row.trained else f"({interval_text(row, '.4f')})"
        for row in xe.itertuples()
    ]
    table = xe.assign(cell=cells).pivot(index="k", columns="component", values="cell")
    return table[list(dict.fromkeys(xe.component))].rename_axis(columns=None).reset_index()


def training_table(summaries: list[RunSummary]) -> pd.DataFrame:
    """How the training of every K went: stability and speed."""
    columns = {
        "k": "k",
        "final_train_loss": "final training loss",
        "gradient_norm_median": "gradient norm, median",
        "gradient_norm_max": "gradient norm, largest",
        "loss_spikes": "loss spikes",
        "nonfinite_steps": "non-finite steps",
        "seconds": "seconds",
        "tokens_per_second": "tokens a second",
    }
    table = pd.DataFrame([summary.model_dump() for summary in summaries])
    table = table[list(columns)].rename(columns=columns)
    return table.astype({"seconds": int, "tokens a second": int})


def parameter_table(parameters: Parameters) -> pd.DataFrame:
    """All parameters as flat keys: columns name, value."""
    flat = pd.json_normalize(parameters.model_dump(mode="json")).iloc[0]
    return pd.DataFrame({"name": flat.index, "value": [str(value) for value in flat]})


def insights(results: pd.DataFrame, design: Design, split: str = "test") -> list[str]:
    """What the numbers say, as sentences with intervals."""
    here = results[results.split == split]
    smallest = here[
        (here.quantity == "difference_to_k1") & (here.series == "smallest")
    ].sort_values("k")
    corrected = here[here.quantity == "p_value_holm"].set_index("k").value
    sentences = [
        f"At K = {row.k} the cross entropy on the smallest component ({design.components[0]}) is "
        f"{_compare(row, corrected.get(row.k, 0.0))} at K = 1: difference "
        f"{interval_text(row, '+.4f')} nats a token"
        + (f" ({p_text(corrected[row.k])} after Holm)." if row.k in corrected.index else ".")
        for row in smallest.itertuples()
    ]
    if len(smallest) and (documents := int(smallest.documents.min())) < FEW_DOCUMENTS:
        sentences.append(
            f"Only {documents} test documents of {design.components[0]} were there to measure on: "
            "intervals over so few are too narrow. Trust the p-values, or hold out more text."
        )
    gains = here[(here.quantity == "in_context_gain") & (here.series == "smallest")]
    for row in gains.sort_values("k").iloc[[0, -1]].drop_duplicates().itertuples():
        sentences.append(
            f"From the first to the last positions of a window the cross entropy of K = {row.k} on "
            f"the smallest component {_moves(row)}: gain {interval_text(row, '+.3f')} nats a token."
        )
    excess = here[(here.quantity == "excess") & (here.series == "chain")]
    for row in excess.sort_values("k").itertuples():
        sentences.append(
            f"On the components trained on, the K = {row.k} model lies {_where(row)} the exact "
            f"optimum: excess {interval_text(row, '+.4f')} nats a token."
        )
    if excess.value.max() > _HARDLY_TRAINED:
        sentences.append(
            f"With {excess.value.max():.2f} nats above the optimum these models are hardly "
            "trained: what they show is not yet about K. More tokens, epochs or a higher "
            "training.learning_rate would help."
        )
    sentences += [*decomposition_insights(here), *detail_insights(results, split)]
    if not (here.quantity == "seed_spread").any():
        sentences.append(
            "All intervals are over documents, for one seed: how much another seed would change is "
            "not known. The same command with `controls.seeds=3` among its `--params` measures it."
        )
    return sentences


def _compare(row: Any, p: float) -> str:
    """In words what interval and corrected p-value say both."""
    if p >= _SIGNIFICANT:
        return "not distinguishably different from that"
    if row.low > 0:
        return "higher than"
    return "lower than" if row.high < 0 else "not distinguishably different from that"


def _moves(row: Any) -> str:
    if row.low > 0:
        return "falls"
    return "rises" if row.high < 0 else "does not change distinguishably"


def _where(row: Any) -> str:
    if row.low > 0:
        return "above"
    return "below" if row.high < 0 else "not distinguishably away from"


def provenance(
    parameters: Parameters,
    summaries: list[RunSummary],
    manifests: list[Manifest],
    design: Design,
) -> pd.DataFrame:
    """What made the numbers: columns name, value."""
    first = summaries[0]
    rows = {
        "corpus": parameters.corpus.source,
        "tokenizer": parameters.tokenizer.source,
        "components": f"{', '.join(design.components)} ({design.reason})",
        "D, tokens of every K": f"{design.total_tokens:,}",
        "K with unequal shares": ", ".join(
            str(m.k) for m in manifests if any(c.adjusted for c in m.components)
        )
        or "none",
        "epochs": first.epochs,
        "tokens seen by every model": f"{first.tokens_seen:,}",
        "optimizer steps": f"{first.steps:,}",
        "model": f"{parameters.model.preset}, {first.parameters:,} parameters",
        "seed": first.seed,
        "device and threads": f"{first.device}, {first.threads}",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
        "token store": design.store,
        "tokenizer fingerprint": design.tokenizer,
        "design": design.fingerprint,
        "initial weights, all K": first.initial_weights,
        "learning-rate schedule, all K": first.schedule,
        **{f"manifest of K = {m.k}": m.fingerprint for m in manifests},
        **{f"final weights of K = {s.k}": s.final_weights for s in summaries},
    }
    return pd.DataFrame(rows.items(), columns=["name", "value"]).astype(str)


def render_markdown(report: Report, figures: Mapping[str, str]) -> str:
    """The report as Markdown.

    Parameters
    ----------
    figures : title -> file name of the picture, relative to the report.
    """
    parts = [f"# {_TITLE}", report.headline.note, _markdown_table(report.headline.frame)]
    parts.append("\n".join(f"- {sentence}" for sentence in report.insights))
    parts += [f"## {title}\n\n![{title}]({file})" for title, file in figures.items()]
    for title, table in report.tables.items():
        parts += [f"## {title}", table.note, _markdown_table(table.frame)]
    return "\n\n".join(parts) + "\n"


def render_html(report: Report, figures: Mapping[str, bytes]) -> str:
    """The report as one HTML page that needs no other file.

    Parameters
    ----------
    figures : title -> content of a PNG file, which is embedded.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ergokedro"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["table"] = _html_table
    environment.filters["sentence"] = _html_sentence
    return environment.get_template("report.html").render(
        title=_TITLE,
        report=report,
        figures={title: base64.b64encode(png).decode() for title, png in figures.items()},
    )


def _html_sentence(text: str) -> str:
    """With what stands in backquotes as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def _html_table(table: pd.DataFrame) -> str:
    return table.to_html(index=False, border=0, float_format="{:.4f}".format)


def _markdown_table(table: pd.DataFrame) -> str:
    def cell(value: object) -> str:
        text = f"{value:.4f}" if isinstance(value, float) else str(value)
        return text.replace("|", "\\|")

    lines = [[cell(name) for name in table.columns], ["---"] * len(table.columns)]
    lines += [[cell(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
