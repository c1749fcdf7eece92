"""Every figure's drawn data equals the values of the tables and rasters that it shows."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from avalattice.canon import AdjacencyId, FigureId, GCondition, InterventionId, Scoring, WindowSet
from avalattice.export.figures import style
from avalattice.export.figures.panels import gain_step
from avalattice.export.figures.raster_example import draw_raster_example
from avalattice.export.figures.tails import law_survival
from avalattice.stats.tail_laws import power_law, truncated_power_law
from tests.export.figures.drawings import (
    DRAW,
    collapse_examples,
    depth_profiles,
    raster_examples,
    tail_samples,
)
from tests.export.figures.reading import curves, intervals
from tests.export.figures.samples import (
    PROVENANCE,
    Case,
    ablations,
    accuracy,
    generalization,
    gstar_document,
    null_statistics,
    rate_matched,
    summary,
)

CASE = Case(labels=("0.4", "0.8"))
SUMMARY, NULLS, ABLATIONS = summary(CASE), null_statistics(CASE), ablations(CASE)
ASIDE = 5 * gain_step([float(gain) for gain in CASE.gains])
"""How far points may be moved aside."""


@pytest.fixture(scope="module", name="figure")
def drawn_figures():
    """Each figure, drawn once."""
    kept = {}

    def get(figure_id):
        if figure_id not in kept:
            kept[figure_id] = DRAW[figure_id](CASE)
        return kept[figure_id]

    return get


def grid(figure, n_rows, n_columns):
    """The panels of a figure; a colour bar comes after them."""
    return np.array(figure.axes[: n_rows * n_columns]).reshape(n_rows, n_columns)


def matching(rows, **equal):
    return [row for row in rows if all(row[name] == value for name, value in equal.items())]


def column(rows, name):
    return np.array([np.nan if row[name] is None else row[name] for row in rows])


def pairs(rows, name):
    """Intervals [n, 2]."""
    return np.stack([column(rows, f"{name}_ci_low"), column(rows, f"{name}_ci_high")], axis=1)


def assert_holds(found, expected):
    """Every expected interval is among those found."""
    distance = np.abs(found[None] - expected[:, None]).max(axis=-1).min(axis=1)
    assert len(expected)
    assert distance.max() < 1e-12


def curve_of(rows, window_set, definition, label):
    found = matching(rows, window_set=window_set, spike_def_id=definition, target_label=label)
    return sorted(found, key=lambda row: row["g"])


# ------------------------------------------------------------------------------- curves over gain


@pytest.mark.parametrize(
    ("figure_id", "names"),
    [
        (FigureId.F03_BRANCHING_CURVES, ("b_time", "b_depth", "b_tot")),
        (FigureId.F04_NULL_DELTAB, ("delta_b_time", "delta_b_depth_shift", "delta_b_tot")),
    ],
)
def test_curves_are_the_summary(figure, figure_id, names):
    """F03 and F04 show T01's values and intervals, in sample and held out, by gain."""
    panels = grid(figure(figure_id), len(names), len(CASE.definitions))
    for (i, name), (j, definition) in product(enumerate(names), enumerate(CASE.definitions)):
        shown = curves(panels[i, j])
        for label, window_set in product(CASE.labels, (WindowSet.CALIBRATION, WindowSet.RASTER)):
            rows = curve_of(SUMMARY, window_set, definition, label)
            x, y = shown[f"{label}, {window_set}"]
            np.testing.assert_array_equal(y, column(rows, name))
            np.testing.assert_allclose(x, column(rows, "g"), atol=ASIDE)
            assert_holds(intervals(panels[i, j])[..., 1], pairs(rows, f"opt_{name}"))


def test_curves_stand_beside_their_null(figure):
    """F03 shows T01's expectation, and a band of 1.96 standard deviations of null draws."""
    panels = grid(figure(FigureId.F03_BRANCHING_CURVES), 3, len(CASE.definitions))
    for (i, name), (j, definition) in product(enumerate(("b_time", "b_depth")), enumerate((0, 1))):
        definition = CASE.definitions[j]
        rows = curve_of(SUMMARY, WindowSet.CALIBRATION, definition, "0.8")
        _, y = curves(panels[i, j])["0.8, expected"]
        expected = column(rows, f"{name}_perm_exact")
        np.testing.assert_array_equal(y, expected)
        nulls = curve_of(
            [{**row, "g": row["gain"]} for row in NULLS],
            WindowSet.CALIBRATION,
            definition,
            "0.8",
        )
        top = expected + 1.96 * column(nulls, f"{name}_perm_sd")
        corners = panels[i, j].collections[-1].get_paths()[0].vertices[:, 1]
        assert np.abs(corners[:, None] - top).min(axis=0).max() < 1e-12


def test_gstar_is_the_document(figure):
    """F05 shows T01's b_tot with g*, crossing, interval and shares of ``gstar.json``."""
    panels = grid(figure(FigureId.F05_GSTAR_SELECTION), 4, 2)
    for (i, label), (j, definition) in product(enumerate(CASE.labels), enumerate(CASE.definitions)):
        curve, strip = panels[2 * i, j], panels[2 * i + 1, j]
        choice = gstar_document(CASE).choice(definition, label)
        rows = curve_of(SUMMARY, WindowSet.CALIBRATION, definition, label)
        shown = curves(curve)
        np.testing.assert_array_equal(shown[f"{label}, calibration"][1], column(rows, "b_tot"))
        assert_holds(intervals(curve)[..., 1], pairs(rows, "opt_b_tot"))
        np.testing.assert_array_equal(shown["g*"], [[float(choice.gstar)], [choice.b_tot]])
        assert choice.crossing in [line.get_xdata()[0] for line in curve.lines]
        (band,) = curve.patches
        ends = band.get_x(), band.get_x() + band.get_width()
        np.testing.assert_allclose(ends, (choice.crossing_ci_low, choice.crossing_ci_high))
        heights = {
            Decimal(f"{bar.get_x() + bar.get_width() / 2:.6g}"): bar.get_height()
            for bar in strip.patches
        }
        assert heights == {Decimal(gain): share for gain, share in choice.shares.items()}


def test_chi_is_the_summary(figure):
    """F09 shows T01's chi with intervals, the larger of the grid's ends, and g*."""
    panels = grid(figure(FigureId.F09_CHI_CURVES), 2, 2)
    for (i, label), (j, definition) in product(enumerate(CASE.labels), enumerate(CASE.definitions)):
        rows = curve_of(SUMMARY, WindowSet.CALIBRATION, definition, label)
        chi = column(rows, "chi")
        _, y = curves(panels[i, j])[f"{label}, calibration"]
        np.testing.assert_array_equal(y, chi)
        assert_holds(intervals(panels[i, j])[..., 1], pairs(rows, "opt_chi"))
        levels = [line.get_ydata()[0] for line in panels[i, j].lines]
        assert max(chi[0], chi[-1]) in levels
        assert 0.85 in [line.get_xdata()[0] for line in panels[i, j].lines]


def test_rates_are_the_thresholds_table(figure):
    """F02 shows every layer's rates, and the error of their means with its range over layers."""
    panels = grid(figure(FigureId.F02_RATE_MATCH_CHECK), 2, 2)
    for (j, definition), label in product(enumerate(CASE.definitions), CASE.labels):
        rows = matching(rate_matched(CASE), spike_def_id=definition, target_label=label)
        for name in ("achieved_rate_in_sample", "achieved_rate_out_of_sample"):
            x, y = curves(panels[0, j])[f"{label}, {name}"]
            np.testing.assert_array_equal(x, column(rows, "layer_rate"))
            np.testing.assert_array_equal(y, column(rows, name))
        gains, errors = curves(panels[1, j])[f"{label}, achieved_rate_out_of_sample"]
        at_one = matching(rows, gain=1.0)
        achieved, wanted = (
            column(at_one, name) for name in ("achieved_rate_out_of_sample", "layer_rate")
        )
        error = errors[np.abs(gains - 1).argmin()]
        assert error == pytest.approx(100 * (achieved.sum() / wanted.sum() - 1))
        by_layer = 100 * (achieved / wanted - 1)
        assert_holds(intervals(panels[1, j])[..., 1], np.array([[by_layer.min(), by_layer.max()]]))


# --------------------------------------------------------------------------------- compared gains


def cases_of(rows):
    return [
        {
            row["g_condition"]: row
            for row in matching(rows, spike_def_id=definition, target_label=label)
        }
        for definition, label in product(CASE.definitions, CASE.labels)
    ]


def assert_compares(above, below, rows, name):
    """Values at both gains with intervals, and the paired difference with its own."""
    values, differences = curves(above), curves(below)
    for place, case in enumerate(cases_of(rows)):
        for condition in GCondition:
            assert values[f"{place}, {condition}"][0][0] == case[condition][name]
        assert_holds(intervals(above)[..., 0], pairs(list(case.values()), name))
        row = case[GCondition.GSTAR]
        assert differences[f"{place}, {name}_diff"][0][0] == row[f"{name}_diff"]
        assert_holds(intervals(below)[..., 0], pairs([row], f"{name}_diff"))


def test_dataset_b_is_its_table(figure):
    """F06 shows T02: four quantities at gain 1 and g*, and their differences."""
    panels = grid(figure(FigureId.F06_GENERALIZATION_B), 2, 4)
    for j, name in enumerate(("b_tot", "delta_b_depth_shift", "chi", "ppl")):
        assert_compares(panels[0, j], panels[1, j], generalization(CASE), name)


def test_arc_is_its_table(figure):
    """F07 shows T03: both accuracies of both scorings, chance, and the difference."""
    panels = grid(figure(FigureId.F07_ARC_MCQ), 2, 3)
    for i, scoring in enumerate(Scoring):
        rows = matching(accuracy(CASE), scoring=scoring)
        assert_compares(panels[i, 0], panels[i, 2], rows, "accuracy")
        shown = curves(panels[i, 1])
        for place, case in enumerate(cases_of(rows)):
            assert shown[f"{place}, g1"][0][0] == case["g1"]["accuracy_norm"]
        for panel in panels[i, :2]:
            assert 0.25 in [line.get_xdata()[0] for line in panel.lines]


def test_spike_definitions_are_the_summary(figure):
    """F08 shows held-out rows of T01 by target, at gain 1 and g*, beside the expectation."""
    panels = figure(FigureId.F08_SPIKEDEF_ROBUST).axes
    for panel, name in zip(panels, ("b_tot", "delta_b_depth_shift", "chi"), strict=True):
        shown = curves(panel)
        for definition, at_one in product(CASE.definitions, (True, False)):
            rows = [
                row
                for row in matching(SUMMARY, window_set="raster", spike_def_id=definition)
                if (row["g"] == 1) is at_one
            ]
            x, y = shown[f"{definition}, {at_one}"]
            np.testing.assert_array_equal(y, column(rows, name))
            np.testing.assert_array_equal(np.round(x), [0, 1])
            assert_holds(intervals(panel)[..., 1], pairs(rows, f"opt_{name}"))
    expected = column(matching(SUMMARY, window_set="raster"), "b_tot_perm_exact")
    unlabelled = np.concatenate([line.get_ydata() for line in panels[0].lines])
    assert set(expected) <= set(unlabelled)


# ---------------------------------------------------------------------------- nulls and ablations


def test_nulls_are_their_statistics(figure):
    """F10 shows the measured ratios, means and spreads of draws, and closed forms."""
    panels = grid(figure(FigureId.F10_NULL_COMPARE), 2, 4)
    columns = product(CASE.definitions, ("b_time", "b_depth"))
    for (i, label), (j, (definition, name)) in product(enumerate(CASE.labels), enumerate(columns)):
        (row,) = matching(
            NULLS,
            window_set="raster",
            spike_def_id=definition,
            target_label=label,
            gain=1.0,
        )
        shown, bars = curves(panels[i, j]), intervals(panels[i, j])[..., 0]
        assert shown["measured, 1.0"][0][0] == row[name]
        assert shown["input shuffled, 1.0"][0][0] == row[f"{name}_tokshuffle"]
        for words, null in (("rows permuted", "perm"), ("rows shifted", "shift")):
            mean, sd = row[f"{name}_{null}_mean"], row[f"{name}_{null}_sd"]
            assert shown[f"{words}, 1.0"][0][0] == mean
            assert_holds(bars, np.array([[mean - 1.96 * sd, mean + 1.96 * sd]]))
        ticks = [line.get_xdata()[0] for line in panels[i, j].lines if line.get_marker() == "|"]
        assert {row[f"{name}_perm_exact"], row[f"{name}_token_id_exact"]} <= set(ticks)


def test_ablations_are_their_table(figure):
    """F11 shows T06: each intervention's numbers, those of avalanches for both adjacencies."""
    names = ("b_tot", "delta_b_tot", "chi", "avalanche_size_mean", "crackling_gamma")
    panels = grid(figure(FigureId.F11_ABLATIONS), 2, len(names))
    kinds = [(InterventionId.MLP_GLOBAL, "g1"), *product(InterventionId, ["gstar"])]
    for (i, definition), (j, name) in product(enumerate(CASE.definitions), enumerate(names)):
        shown, bars = curves(panels[i, j]), intervals(panels[i, j])[..., 0]
        for (place, (intervention, condition)), label, adjacency in product(
            enumerate(kinds), CASE.labels, AdjacencyId
        ):
            if name in names[:3] and adjacency is not AdjacencyId.ADJ_4N:
                continue
            (row,) = matching(
                ABLATIONS,
                spike_def_id=definition,
                target_label=label,
                intervention_id=intervention,
                g_condition=condition,
                adjacency_id=adjacency,
            )
            x, y = shown[f"{place}, {label}, {adjacency}"]
            assert x[0] == row[name]
            assert abs(y[0] - place) < 0.5
            if name in names[:3]:
                assert_holds(bars, pairs([row], name))


# -------------------------------------------------------------------------- rows with arrays


def test_tails_are_the_samples(figure):
    """F12 shows P(X ≥ x) of samples and null, and laws from T04's parameters from xmin on."""
    panels = grid(figure(FigureId.F12_TAILS), 2, 4)
    columns = list(product(CASE.definitions, ("size", "span_tokens")))
    for sample in tail_samples(CASE):
        row = sample.row
        place = columns.index((row["spike_def_id"], row["variable"]))
        shown = curves(panels[CASE.labels.index(row["target_label"]), place])
        for name, values, n in (
            ("measured", sample.values, sample.counts),
            ("null", sample.null_values, sample.null_counts),
        ):
            x, y = shown[name]
            every = np.repeat(values, n)
            np.testing.assert_array_equal(x, values)
            np.testing.assert_allclose(y, [(every >= value).mean() for value in values])
        x, y = shown["powerlaw"]
        share = row["n_tail"] / row["n_samples"]
        assert x[0] == row["xmin"]
        assert y[0] == pytest.approx(share)
        law = power_law(row["alpha_powerlaw"], xmin=row["xmin"], xmax=row["xmax"])
        passed = np.exp(law.log_pmf(np.arange(law.xmin, x[-1]))).sum()
        assert y[-1] == pytest.approx(share * (1 - passed), abs=1e-9)
        assert set(shown) == {"measured", "null", "powerlaw", "truncated_powerlaw"}


def test_survival_of_a_law():
    """P(X ≥ x) is one at xmin and falls by the mass below; beyond xmax nothing is left."""
    law = truncated_power_law(1.5, 0.1, xmin=3, xmax=40)
    x = np.array([3, 4, 40])
    expected = [np.exp(law.log_pmf(np.arange(low, 41))).sum() for low in x]
    np.testing.assert_allclose(law_survival(law, x), expected)


def test_profiles_are_those_measured(figure):
    """F13 shows mean profiles by token, and the collapsed curves by rescaled time."""
    panels = grid(figure(FigureId.F13_PROFILE_COLLAPSE), 2, 4)
    for example in collapse_examples(CASE):
        i = CASE.labels.index(example.row["target_label"])
        j = 2 * CASE.definitions.index(example.row["spike_def_id"])
        raw, collapsed = curves(panels[i, j]), curves(panels[i, j + 1])
        for place, (span, profile) in enumerate(example.profiles.items()):
            np.testing.assert_array_equal(raw[str(span)][0], np.arange(1, span + 1))
            np.testing.assert_array_equal(raw[str(span)][1], profile)
            np.testing.assert_array_equal(
                collapsed[str(span)], [example.collapse.time, example.collapse.curves[place]]
            )


def test_layers_are_those_measured(figure):
    """F14 shows p, b_time and b_depth of every layer, and the expectation at gain 1."""
    panels = grid(figure(FigureId.F14_DEPTH_PROFILE), 2, 3)
    for profile in depth_profiles(CASE):
        i = CASE.labels.index(profile.row["target_label"])
        label = f"{profile.row['spike_def_id']}, {profile.row['g']}"
        for j, name in enumerate(("occupancy", "b_time", "b_depth")):
            x, y = curves(panels[i, j])[label]
            np.testing.assert_array_equal(x, np.arange(len(y)))
            np.testing.assert_array_equal(y, getattr(profile.layers, name))
            if name != "occupancy" and profile.row["g"] == 1:
                expected = getattr(profile.layers, f"{name}_perm_exact")
                assert any(
                    np.array_equal(line.get_ydata(), expected, equal_nan=True)
                    for line in panels[i, j].lines
                )


def test_raster_has_the_avalanches_colours():
    """F01: white where nothing is, one colour for each of the largest, grey for the others."""
    examples = raster_examples(CASE)
    figure = draw_raster_example(examples, PROVENANCE)
    for panel, example in zip(figure.axes, examples, strict=True):
        image = np.asarray(panel.images[0].get_array())
        sizes = np.bincount(example.labels.ravel(), weights=example.counts.ravel())[1:]
        largest = 1 + np.argsort(-sizes, kind="stable")
        for place, label in enumerate(largest):
            colour = style.DISTINCT[place] if place < len(style.DISTINCT) else style.PALE
            assert (image[example.labels == label] == colour).all()
        assert (image[example.labels == 0] == 1).all()
        entry = panel.get_legend().get_texts()[0].get_text()
        assert entry.startswith(f"1: S {int(sizes.max())}, D ")
        assert to_rgb(panel.get_legend().get_patches()[0].get_facecolor()) == style.DISTINCT[0]
