"""docs/results.md, docs/index.md and their figure, from the kept tables.

Every number of the results is read from one of them.

    python docs/results/page.py [FOLDER]

FOLDER has one folder per experiment with its results.parquet, and documents.parquet; docs/results
by default.
"""

from __future__ import annotations

import json
import sys
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from ergokedro.analysis.transfer.fitting import LawFit, fit_law
from ergokedro.analysis.transfer.held_out import held_out_predictions, prediction_errors
from ergokedro.analysis.transfer.over_grid import runs_of_grid
from ergokedro.reporting.figures.chart import Axis, Chart, Curve, Level
from ergokedro.reporting.figures.static import draw_chart
from ergokedro.reporting.figures.style import category_colour, category_marker

HERE = Path(__file__).parent
PAGES = {"results.md": "results.md.j2", "index.md": "index.md.j2",
         "results/more-text.md": "more-text.md.j2"}  # fmt: skip
# Model size -> D in thousands -> the experiment with the most draws.
GRIDS = {
    size: {d: f"grid-D{d}000-{size}" for d in (150, 300, 600, 1200, 2400)} | with_draws
    for size, with_draws in {
        "micro": {300: "balanced-300k", 600: "balanced-600k"},
        "tiny": {300: "balanced-tiny"},
        "pythia-14m": {600: "balanced-14m"},
    }.items()
}
# Model size -> the chain of all text of the smallest category.
LITERAL = {"micro": "literal", "tiny": "literal-tiny", "pythia-14m": "literal-14m"}
# Means of the test documents under the runs that the laws of all D are fitted to.
DOCUMENTS = "documents.parquet"
# Experiments that are compared, the reference first, and the file of their paired differences.
_ENDS = ((150, 2400), (1200, 2400))
COMPARED = (
    "balanced-300k+balanced-tiny",
    "balanced-600k+balanced-14m",
    *("+".join(grid[d] for grid in GRIDS.values()) for d in (150, 1200, 2400)),
    *("+".join(grid[d] for d in ends) for ends in _ENDS for grid in GRIDS.values()),
    "literal+literal-1",
    "literal-tiny+literal-14m",
    "+".join(f"fulltext-{size}" for size in GRIDS),
)
DIFFERENCES = "differences.parquet"
# XE of the runs of grid-D300000-pythia-14m, which were trained on two GPUs.
DEVICES = "devices.csv"
# XE of K = 5 on all text of the smallest category, by component: as in the chain, and with averaged
# weights.
AVERAGED = "averaged.csv"


class Tables:
    """The kept results, and their numbers in words.

    Parameters
    ----------
    folder : has one folder per experiment, and :data:`DOCUMENTS`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.table = cache(self._table)
        self.law = cache(self._law)
        self.errors_on_unseen_totals = cache(self._errors_on_unseen_totals)

    def _table(self, experiment: str) -> pd.DataFrame:
        results = pd.read_parquet(self.folder / experiment / "results.parquet")
        return results[results.split == "test"]

    def row(self, experiment: str, quantity: str, series: str, **columns: Any) -> Any:
        """The only row with these values."""
        table = self.table(experiment)
        chosen = (table.quantity == quantity) & (table.series == series)
        for name, value in {"position": 0, **columns}.items():
            chosen &= table[name] == value
        (row,) = table[chosen].itertuples()
        return row

    def number(self, experiment: str, quantity: str, series: str, **columns: Any) -> str:
        """As '0.2873 [0.2705, 0.3040]', without a sign."""
        row = self.row(experiment, quantity, series, **columns)
        return _minus(f"{row.value:.4f} [{row.low:.4f}, {row.high:.4f}]")

    def signed(self, experiment: str, quantity: str, series: str, **columns: Any) -> str:
        """As '+0.2873 [+0.2705, +0.3040]'."""
        return _signed(self.row(experiment, quantity, series, **columns))

    def effect(self, experiment: str, k: int = 5, series: str = "balanced") -> str:
        """XE at K less that at K = 1."""
        return self.signed(experiment, "difference_to_k1", series, k=k)

    def part(self, experiment: str, component: str, k: int = 5) -> str:
        """The balanced effect of K on one component."""
        quantity = "component_difference_to_k1"
        return self.signed(experiment, quantity, "balanced", k=k, component=component)

    def difference(
        self, reference: str, experiment: str, k: int = 5, series: str = "balanced"
    ) -> str:
        """The effect of K less that in the reference, on the same windows: of :data:`COMPARED`."""
        table = self._differences
        wanted = {"reference": reference, "experiment": experiment, "k": k, "series": series}
        (row,) = table[(table[list(wanted)] == list(wanted.values())).all(axis=1)].itertuples()
        return _signed(row)

    def gain_differences(self) -> pd.DataFrame:
        """In-context gain of K less that of K = 1 in all literal chains."""
        tables = (self.table(name) for name in ("literal-1", *LITERAL.values()))
        quantity = "gain_difference_to_k1"
        return pd.concat([table[table.quantity == quantity] for table in tables])

    @cached_property
    def _differences(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / DIFFERENCES)

    def weights(self, experiment: str) -> str:
        """Number of weights of its model."""
        return f"{self._run(experiment)['model parameters'] / 1e6:.1f} M"

    def commit(self, experiment: str) -> str:
        """That of the analysis."""
        return str(self._run(experiment)["commit"])[:7]

    def trained(self, experiment: str) -> str:
        """The commit that its models were trained at."""
        return str(self._run(experiment)["trained at"])[:7]

    def command(self, experiment: str) -> str:
        """What trains and analyses its runs."""
        return str(self._run(experiment)["command"])

    def count(self, experiment: str) -> int:
        """Number of its runs."""
        return int(self._run(experiment)["runs"])

    def _run(self, experiment: str) -> dict[str, Any]:
        run: dict[str, Any] = json.loads((self.folder / experiment / "run.json").read_text("utf-8"))
        return run

    def components(self, experiment: str) -> list[str]:
        """Its components, as the balanced effect has them."""
        table = self.table(experiment)
        return list(table.component[table.quantity == "component_difference_to_k1"].unique())

    def span(self, experiment: str, quantity: str, column: str = "value") -> str:
        """The smallest and the largest of all values, two decimals."""
        values = self.table(experiment)[lambda table: table.quantity == quantity][column]
        return f"{values.min():.2f} to {values.max():.2f}"

    def errors(self, experiment: str, series: str) -> str:
        """Mean errors of the three curves in K, as 'log 0.0396, saturation 0.0429, law 0.0436'."""
        curves = ("log", "saturation", "law")
        rows = (self.row(experiment, "shape_error", series, run=curve) for curve in curves)
        return ", ".join(f"{row.run} {row.value:.4f}" for row in rows)

    def share(self, numerator: Any, denominator: Any) -> str:
        """A quotient of two values of :meth:`row`, two decimals."""
        return f"{numerator.value / denominator.value:.2f}"

    def error(self, experiment: str, law: str, series: str = "held_out_k") -> str:
        """Relative error of a law's predictions, in percent."""
        row = self.row(experiment, "held_out_relative_error", series, run=law)
        return f"{100 * row.value:.2f} %"

    def errors_on_literal(self, totals: list[int], size: str = "micro") -> tuple[float, float]:
        """Relative error, mean and largest, on the literal chain of the law of some of the D."""
        grid = GRIDS[size]
        if totals == list(grid):
            return self._errors_on_literal(self.law(size), size)
        seen = runs_of_grid(_joined(self, [grid[d] for d in totals]))
        return self._errors_on_literal(fit_law(seen), size)

    def _errors_on_literal(self, law: LawFit, size: str) -> tuple[float, float]:
        literal = runs_of_grid(_joined(self, [LITERAL[size]]))
        assert law.components == literal.components
        errors = np.abs(law.predict(literal.tokens) / literal.xe - 1)
        return float(np.nanmean(errors)), float(np.nanmax(errors))

    def _errors_on_unseen_totals(self, size: str = "micro") -> dict[str, float]:
        """Law -> mean relative error on each D, fitted without it."""
        runs = runs_of_grid(self.grid(size))
        laws = ("transfer", "own_tokens", "exponential_budget", "constant")
        errors = prediction_errors(held_out_predictions(runs, laws, ["budget"]))
        return dict(zip(errors.law, errors.relative_error, strict=True))

    def grid(self, size: str) -> pd.DataFrame:
        """The results of all D of one model size."""
        return _joined(self, list(GRIDS[size].values()))

    def _law(self, size: str = "micro") -> LawFit:
        """The law of :meth:`grid`, all sets of components; intervals hold the documents."""
        return fit_law(runs_of_grid(self.grid(size), self._documents))

    @cached_property
    def _documents(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / DOCUMENTS).astype({"xe": np.float64})

    def _rates(self, size: str, of: list[str], sources: list[str]) -> np.ndarray:
        law = self.law(size)
        return np.array(
            [
                law.estimate("tau", component, source).interval.value
                for component in of
                for source in sources
                if source != component
            ]
        )

    def largest_change_of_rates(self, first: list[str], second: list[str]) -> float:
        """Between any two model sizes, of the rates between two groups of components."""
        rates = [
            np.concatenate([self._rates(size, first, second), self._rates(size, second, first)])
            for size in GRIDS
        ]
        return float(np.ptp(rates, axis=0).max())

    def mean_rate(self, size: str, of: list[str], sources: list[str]) -> str:
        """The mean exchange rate between two groups of components, and its extremes."""
        rates = self._rates(size, of, sources)
        return f"{np.mean(rates):.2f} ({min(rates):.2f} to {max(rates):.2f})"

    def deviation(self, experiment: str, source: str, k: int = 5) -> str:
        """What a source of chance contributes to the balanced effect of K, nats per token."""
        variance = self.row(experiment, f"variance_{source}", "balanced", k=k).value
        return f"{max(0.0, variance) ** 0.5:.4f}"

    def averaged_cost(self, component: str = "") -> str:
        """XE of K = 5 with averaged weights less that of specialists of D tokens with such weights.

        Parameters
        ----------
        component : of one; '' for the mean over all.
        """
        table = self.table("literal-parts")
        own = table[(table.quantity == "specialist_xe") & (table.tokens == table.tokens.max())]
        best = own.set_index("component").value
        averaged = pd.read_csv(self.folder / AVERAGED, index_col="component").averaged
        cost = averaged - best
        return f"{cost[component] if component else cost.mean():+.4f}"

    def share_of_starvation(self, experiment: str, k: int = 5) -> str:
        """How much of starvation interference less transfer replaces."""
        gain = -self.row(experiment, "interference", "chain", k=k).value
        return f"{gain / self.row(experiment, 'starvation', 'chain', k=k).value:.2f}"

    def epochs_at_d(self, experiment: str, epochs: int = 4) -> str:
        """Best numbers of epochs of the specialists with D tokens, if the chain makes `epochs`."""
        table = self.table(experiment)
        own = table[(table.quantity == "specialist_epochs") & (table.tokens == table.tokens.max())]
        return ", ".join(f"{epochs * value:.4g}" for value in own.value)

    def largest_p(self, experiment: str) -> float:
        """The largest p-value of the balanced effects after Holm's correction."""
        table = self.table(experiment)
        of_effects = (table.quantity == "p_value_holm") & (table.series == "balanced")
        return float(table.value[of_effects].max())

    def at_most_epochs(self, experiment: str) -> int:
        """Of how many specialists the longest training tried was the best."""
        table = self.table(experiment)
        epochs = table.value[table.quantity == "specialist_epochs"]
        return int((epochs == epochs.max()).sum())

    def devices(self) -> pd.DataFrame:
        """XE of the runs of :data:`DEVICES` on their own components; first column: K."""
        return pd.read_csv(self.folder / DEVICES, index_col="run")

    def spread_of_devices(self, column: int) -> str:
        """Mean and standard deviation over runs: XE of a column less that of the first."""
        table = self.devices()
        difference = table.iloc[:, column] - table.iloc[:, 1]
        return _minus(f"{difference.mean():+.4f}") + f" and {difference.std():.4f}"

    def effect_on_device(self, column: int, k: int = 5) -> str:
        """The balanced effect of K: all components have as many windows."""
        table = self.devices()
        at_k, at_1 = (table[table.k == n].iloc[:, column].mean() for n in (k, 1))
        return f"{at_k - at_1:+.4f}"

    def law_estimate(
        self, quantity: str, component: str, source: str = "", size: str = "micro"
    ) -> str:
        """A parameter of :meth:`law`, with its interval."""
        estimate = self.law(size).estimate(quantity, component, source)
        low, high = estimate.interval.low, estimate.interval.high
        return f"{estimate.interval.value:.2f} [{low:.2f}, {high:.2f}]"


def _signed(row: Any) -> str:
    numbers = [f"{value:+.4f}" for value in (row.value, row.low, row.high)]
    return _minus(f"{numbers[0]} [{numbers[1]}, {numbers[2]}]")


def _minus(text: str) -> str:
    """The minus sign as long as the plus."""
    return text.replace("-", "\N{MINUS SIGN}")


def _joined(tables: Tables, experiments: list[str]) -> pd.DataFrame:
    """Tables of several experiments as one of a grid."""
    parts = [tables.table(name).assign(experiment=name) for name in experiments]
    return pd.concat(parts, ignore_index=True)


def plot_effect_by_text(tables: Tables) -> Chart:
    """The balanced effect of two and of five components against D, at every model size."""
    curves, falls = [], []
    for k, line in ((5, "solid"), (2, "dashed")):
        for number, grid in enumerate(GRIDS.values()):
            effects = [
                tables.row(name, "difference_to_k1", "balanced", k=k) for name in grid.values()
            ]
            # Side by side, so that intervals do not hide each other.
            rows = pd.DataFrame(effects).assign(d=np.arange(len(grid)) + 0.08 * (number - 1))
            style = {"marker": category_marker(number), "line": line}
            label = f"K = {k}, {tables.weights(grid[600])}"
            curves.append(Curve.of(rows, label, category_colour(number), x="d", **style))
            if k == 5:
                falls.append(1 - effects[-1].value / effects[0].value)
    return Chart(
        f"Sixteen times the text lowers the cost of five components by {100 * min(falls):.0f} to "
        f"{max(falls):.0%}",
        "arXiv abstracts, models of three sizes (weights): cross entropy of K components less "
        "that of one, mean over sets of components, nats per token. Bars: 95 % intervals over "
        "held-out documents; where there are three draws (300k: 0.7 M, 1.4 M; 600k: 0.7 M, 2.2 M) "
        "also over training documents and seeds.",
        Axis("D, training tokens per epoch", "category", [f"{d:,} k" for d in GRIDS["micro"]]),
        curves,
        levels=[Level(0, "as K = 1")],
        zero=True,
    )


def render(tables: Tables, template: str) -> str:
    """A page as Markdown.

    Parameters
    ----------
    template : name of a file beside this one.

    Raises
    ------
    jinja2.UndefinedError
        If the template asks for something that is not there.
    """
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.from_string((HERE / template).read_text("utf-8"))
    title = plot_effect_by_text(tables).title
    return page.render(t=tables, grids=GRIDS, totals=GRIDS["micro"], title=title)


def main() -> None:
    """Write the pages and the figure."""
    tables = Tables(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
    chart = plot_effect_by_text(tables)
    draw_chart(chart).savefig(HERE / "effect_by_text.png", dpi=150)
    for name, template in PAGES.items():
        (HERE.parent / name).write_text(render(tables, template), encoding="utf-8")


if __name__ == "__main__":
    main()
