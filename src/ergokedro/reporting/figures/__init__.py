"""All figures: one module each; this one has their titles and what they require.

A module outside the package adds one in the same way; docs/howto/extend-figure.md shows how.
"""

from ergokedro.reporting.figures.component_heatmap import plot_component_heatmap
from ergokedro.reporting.figures.controls import ControlsWithSeries, plot_controls
from ergokedro.reporting.figures.decomposition import plot_decomposition, plot_others_worth
from ergokedro.reporting.figures.distinguishability import plot_distinguishability
from ergokedro.reporting.figures.effect_of_k import plot_effect_of_k
from ergokedro.reporting.figures.exchange import plot_exchange
from ergokedro.reporting.figures.identification import plot_identification, plot_naming
from ergokedro.reporting.figures.in_context_xe import plot_in_context_xe
from ergokedro.reporting.figures.in_document_xe import plot_in_document_xe
from ergokedro.reporting.figures.learning_curves import plot_learning_curves, plot_train_gap
from ergokedro.reporting.figures.own_text import plot_own_text
from ergokedro.reporting.figures.registry import FIGURES, FigureSpec
from ergokedro.reporting.figures.specialists import plot_specialists
from ergokedro.reporting.figures.token_accounting import (
    plot_document_lengths,
    plot_token_accounting,
)
from ergokedro.reporting.figures.xe_by_k import plot_xe_by_k

__all__ = ["FIGURES", "FigureSpec"]

_HISTORIES = ("design", "histories")
_SPECIALISTS = ("specialists",)

for _name, _spec in {
    "token_accounting": FigureSpec(
        "What the corpus holds",
        plot_token_accounting,
        inputs=("token_accounting", "design"),
        pipeline="mixture_design",
        how_to_read="Look at it before any training. The coloured bars are the chosen components "
        "in ascending order of their text, so the first of them sets D, the total that every K "
        "gets: what lies above the line is not used where K = 1. Grey bars are the largest other "
        "categories. The note says what chose the components, and where a ranking by tokens and "
        "one by documents differ: there the choice depends on `mixture.rank_by`. All counts and "
        "ranks are in `token_accounting.csv` of the folder `04_feature`.",
    ),
    "document_lengths": FigureSpec(
        "How long documents are",
        plot_document_lengths,
        inputs=("token_accounting", "design"),
        pipeline="mixture_design",
        how_to_read="Compare the bars with the line of the window. Where documents are shorter, a "
        "window holds several of them, or, with `mixture.within_documents`, they give no window. "
        "Where one component has much longer documents than another, the two differ in form as "
        "well as in topic.",
    ),
    "effect_of_k": FigureSpec(
        "The effect of K",
        plot_effect_of_k,
        how_to_read="Differences are paired by window. Where the bar of K does not touch zero, K "
        "changed the cross entropy on the same text, beyond the chance that the interval holds; "
        "the report says which chance that is. Averaged over balanced sets of components "
        "(`controls.subsets`) every component has the same weight at every K. Without them the "
        "figure is about the smallest component and the order in which the others join it.",
    ),
    "xe_by_k": FigureSpec(
        "Cross entropy against K",
        plot_xe_by_k,
        how_to_read="Different K are tested on different text here, so its steps are not effects "
        "of K: read those in the effect of K. A dash is the least possible cross entropy, which "
        "is known for synthetic sources only; what lies between dash and point is what the model "
        "has not learnt.",
    ),
    "in_context_xe": FigureSpec(
        "Cross entropy in context",
        plot_in_context_xe,
        how_to_read="Follow one curve from left to right: it falls as the model reads more of the "
        "window. Two curves that come closer together say that context makes up for the number "
        "of components; curves that stay parallel say that it does not. The first bins have few "
        "positions and a wide band. Where a dashed curve is shown, it is the best that any "
        "predictor can do who does not know the component.",
    ),
    "in_document_xe": FigureSpec(
        "Cross entropy by position in the document",
        plot_in_document_xe,
        how_to_read="The model sees a window alone, so this is not the effect of a longer context. "
        "It shows how the text itself changes along a document: a first line that is hard to "
        "predict, a list of references that is easy. If the curves of all K have the same shape, "
        "the effect of K is not one of a part of the documents.",
    ),
    "learning_curves": FigureSpec(
        "Learning curves",
        plot_learning_curves,
        inputs=_HISTORIES,
        how_to_read="See whether the curves are still falling at the end: then more training would "
        "change the comparison. The report warns where one falls by more than 0.1 nats per token "
        "in the last quarter of training.",
    ),
    "train_gap": FigureSpec(
        "Held-out text less training text",
        plot_train_gap,
        inputs=_HISTORIES,
        how_to_read="A gap that grows means that the training text is learnt by heart, which "
        "happens sooner to a K whose components have less text. The report warns where it is more "
        "than 0.1 nats per token.",
    ),
    "component_heatmap": FigureSpec(
        "Every K on every component",
        plot_component_heatmap,
        how_to_read="Read down a column: the same test text, measured with every K. Where the "
        "column changes from hatched to bold, the component joined the training data, and the "
        "step is what its text is worth. Below that step, a rise is the cost of sharing the total "
        "with more components. Differences between columns say how hard the components are, "
        "which has nothing to do with K.",
    ),
    "decomposition": FigureSpec(
        "Where the cost of K comes from",
        plot_decomposition,
        requires=_SPECIALISTS,
        how_to_read="The diamond is the whole cost of K over specialists that have all D tokens. "
        "The stacked terms sum to it exactly; a term below zero saves. Starvation is what a "
        "component loses because it has D/K tokens alone. Identification can be no more than "
        "the dash above starvation, whatever the models; on average at most $\\log K / (W - 1)$. "
        "The rest is what one model for all costs, less what text of the others teaches it: "
        "only their difference can be measured.",
    ),
    "others_worth": FigureSpec(
        "What the others' text is worth",
        plot_others_worth,
        requires=_SPECIALISTS,
        how_to_read="Above zero a component gains from text of the others: the model of K predicts "
        "it better than a specialist with the same text of the component. Below zero sharing one "
        "model costs more than the others' text teaches.",
    ),
    "identification": FigureSpec(
        "The cost of identifying the component",
        plot_identification,
        requires=_SPECIALISTS,
        how_to_read="A curve that becomes flat has paid for identifying the component: from there "
        "on the mixture of specialists predicts like the right one. It cannot pass the dashed "
        "line of its K. On real text specialists share errors, and the curve may fall below zero.",
    ),
    "naming": FigureSpec(
        "When the component is identified",
        plot_naming,
        requires=_SPECIALISTS,
        how_to_read="Components that differ much are identified within a few tokens. Where the "
        "curve stays low up to the end of the window, the components are hardly different for "
        "these models, or the window is too short.",
    ),
    "specialists": FigureSpec(
        "What less text of its own costs",
        plot_specialists,
        requires=_SPECIALISTS,
        how_to_read="Each curve is one component, and models trained on it alone: how much worse "
        "they predict it when they have 1/K of the text. A component whose curve rises steeply "
        "lacks text when it shares D with others. Below zero less text was better, so the "
        "specialist with all D tokens is not trained well. What the others' text gives in return "
        "is in *What the others' text is worth*.",
    ),
    "distinguishability": FigureSpec(
        "How far components can be told apart",
        plot_distinguishability,
        requires=_SPECIALISTS,
        how_to_read="Read along a row: which specialists predict this component's text badly. A "
        "value near zero means that the two components are nearly the same to these models, so "
        "they count as one rather than as two. The matrix need not be symmetric.",
    ),
    "own_text": FigureSpec(
        "What all text together is worth as text of one's own",
        plot_own_text,
        requires=_SPECIALISTS,
        how_to_read="The dashed line is the part of the text that is a component's own. A point "
        "above it says how much more text of its own the component seems to have thanks to the "
        "others. A triangle is a bound: no specialist has as much text, or as little.",
    ),
    "exchange": FigureSpec(
        "What a token of another component is worth, as a map",
        plot_exchange,
        requires=("specialists", "subsets"),
        how_to_read="Read along a row: how many of its own training tokens one token of each other "
        "component replaces. One is as good as its own text, zero is useless, below zero harms. "
        "A question mark says that these runs do not determine the number; the report says why.",
    ),
    "controls": FigureSpec(
        "Controls",
        plot_controls,
        requires=ControlsWithSeries(),
        how_to_read="Pseudo-components are random parts of one component: their difference to "
        "K = 1 should include zero, and where it does not, the protocol itself has an effect. "
        "Growing totals show what more text alone does. Points without a line are single runs, "
        "such as seeds: their spread is chance that intervals over documents do not have.",
    ),
}.items():
    FIGURES.register(_name, _spec)
