"""Phase 5 on a tiny model: tables, ablations and verdicts, each reckoned again from rasters."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import LlamaForCausalLM

from avalattice.canon import CONST, FigureId, InterventionId, StageTag, TableId, WindowSet
from avalattice.errors import ArrayError
from avalattice.export.schemas import (
    T01_SUMMARY,
    T04_TAIL_FITS,
    T05_CRACKLING_DIAGNOSTICS,
    T06_ABLATIONS,
    TABLES,
)
from avalattice.export.tabular import read_csv, read_table
from avalattice.lattice.avalanches import avalanches, check_component_count
from avalattice.lattice.branching import SUM_NAMES, branching, branching_from_sums
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.null_sums import null_sums
from avalattice.lattice.nulls import permutation_null
from avalattice.lattice.percolation import percolation_context
from avalattice.lattice.susceptibility import susceptibility
from avalattice.plan import forward_windows
from avalattice.rng import stream
from avalattice.stagetable import STAGES
from avalattice.stats.avalanche_nulls import null_avalanches
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.chi_peak import chi_peak
from avalattice.stats.excess import excess_intervals
from avalattice.stats.multistep import multistep_depth
from avalattice.stats.scaling import crackling
from avalattice.stats.summary import BRANCHING_NAMES
from avalattice.stats.tails import fit_tail
from avalattice.store.record import read_record
from avalattice.store.runs import RunStore
from tests.export.measured import unexplained
from tests.stages.conftest import Workplace
from tests.stages.reading import (
    CURVE,
    Row,
    choices,
    conditions,
    document,
    exported,
    grid,
    held_out,
    results,
)
from tests.stages.test_phase6 import scaled
from tests.tiny import GAINS, N_CALIBRATION, N_LAYERS, SEQ_LEN, TARGETS, save_model, write_config

T01, T04, T05, T06 = (
    TableId.T01_SUMMARY,
    TableId.T04_TAIL_FITS,
    TableId.T05_CRACKLING_DIAGNOSTICS,
    TableId.T06_ABLATIONS,
)
OTHERS = [name for name in InterventionId if name is not InterventionId.MLP_GLOBAL]
REPS = 200
Key = tuple[object, ...]


def resamples(window_set: str, n_windows: int) -> Resamples:
    """Those of a slice of Dataset A, from their name."""
    rng = stream(CONST.BOOTSTRAP_SEED, "bootstrap", "A", window_set)
    return Resamples.draw(n_windows, REPS, rng)


def rasters(place: Workplace) -> dict[Key, np.ndarray]:
    """Every raster of phases 2 and 3, by T01's key."""
    return {
        (window_set, *(entry[k] for k in CURVE), float(entry["gain"])): A[entry["cond_id"]]
        for window_set, tag, A in (
            ("calibration", "S02", grid(place)),
            ("raster", "S03", held_out(place)),
        )
        for entry in conditions(place, tag)
    }


def key(row: Row) -> Key:
    """T01's key of a row."""
    return (row["window_set"], *(row[k] for k in CURVE), row["g"])


def or_none(value: float) -> float | None:
    """NaN as a table holds it."""
    return None if np.isnan(value) else float(value)


# ------------------------------------------------------------------------------------------ T01


def test_t01_has_a_row_for_every_raster(finished_once: Workplace) -> None:
    """The gain grid in sample, gain 1 and g* held out, each once."""
    found = [key(row) for row in exported(finished_once, T01)]
    assert found == list(rasters(finished_once))
    assert len(found) == len(GAINS) * 4 + len(held_out(finished_once))


def test_t01_holds_the_numbers_of_the_rasters(finished_once: Workplace) -> None:
    """b, nulls, surpluses, chi, avalanches and gamma are those of direct calls."""
    of = rasters(finished_once)
    for row in exported(finished_once, T01):
        A = of[key(row)]
        ratios, null, table = branching(A), branching_null_exact(A), avalanches(A)
        for name in BRANCHING_NAMES:
            assert row[name] == or_none(float(getattr(ratios, name)))
        for name in (
            *("b_time_perm_exact", "b_depth_perm_exact", "b_tot_perm_exact", "b_depth_shift_exact"),
            *("delta_b_time", "delta_b_depth", "delta_b_tot", "delta_b_depth_shift"),
        ):
            assert row[name] == or_none(getattr(null, name))
        assert row["delta_b_time_z_exact"] == or_none(null.z_time_perm_exact)
        assert row["delta_b_depth_shift_p_exact"] == or_none(null.p_depth_shift_exact)
        assert row["chi"] == pytest.approx(float(susceptibility(A).chi), rel=1e-9)
        assert row["occupancy"] == pytest.approx((A > 0).mean(), rel=1e-12)
        layers = (A > 0).mean(axis=(0, 2))
        assert [row["occupancy_min"], row["occupancy_max"]] == pytest.approx(
            [layers.min(), layers.max()], rel=1e-12
        )
        assert row["n_avalanches"] == len(table)
        assert row["avalanche_size_mean"] == pytest.approx(A.sum() / len(table))
        assert row["avalanche_span_tokens_mean"] == table.span_tokens.mean()
        gamma = crackling(table.size, table.span_tokens).gamma
        assert row["crackling_gamma"] == or_none(gamma)
        assert row["b_depth_mr"] == or_none(multistep_depth(A).b)
        assert row["n_sequences"] == len(A)
        assert row["few_windows"]
        assert unexplained(T01_SUMMARY, row) == []


def test_intervals_of_t01_are_of_the_slices_own_resamples(finished_once: Workplace) -> None:
    """Every raster of a window set shares the resamples of its name, so that rows are paired."""
    of = rasters(finished_once)
    for row in exported(finished_once, T01):
        A = of[key(row)]
        mine = resamples(row["window_set"], len(A))
        expected = excess_intervals(null_sums(A), mine)
        for name in ("b_time", "b_depth", "b_tot", "delta_b_time", "delta_b_depth_shift"):
            ends = row[f"opt_{name}_ci_low"], row[f"opt_{name}_ci_high"]
            found = float(expected[name].low), float(expected[name].high)
            assert ends == pytest.approx(found, rel=1e-9, abs=1e-12)
        table = avalanches(A)
        interval = crackling(
            table.size, table.span_tokens, window=table.window, resamples=mine
        ).interval
        assert row["crackling_ci_low"] == or_none(interval.low)
        assert row["crackling_ci_high"] == or_none(interval.high)
    other = resamples("raster", N_CALIBRATION)
    first = next(iter(of.values()))
    assert excess_intervals(null_sums(first), other)["b_tot"].low != or_none(
        exported(finished_once, T01)[0]["opt_b_tot_ci_low"]
    )  # control


@pytest.mark.parametrize("name", ["delta_b_time", "delta_b_depth_shift"])
def test_p_values_of_t01_are_adjusted_over_the_table(finished_once: Workplace, name: str) -> None:
    """p_adj is SciPy's Benjamini–Hochberg over both window sets together."""
    rows = exported(finished_once, T01)
    p = [row[f"{name}_p_exact"] for row in rows]
    assert None not in p
    expected = stats.false_discovery_control(p)
    np.testing.assert_allclose([row[f"{name}_p_adj"] for row in rows], expected, rtol=1e-12)
    held = [n for n, row in enumerate(rows) if row["window_set"] == "raster"]
    apart = stats.false_discovery_control([p[n] for n in held])
    assert not np.allclose([rows[n][f"{name}_p_adj"] for n in held], apart)  # control


# ------------------------------------------------------------------------------------ T04 and T05


def test_tails_and_gamma_are_those_of_held_out_avalanches(finished_once: Workplace) -> None:
    """T04 and T05 have Phase 3's rasters alone, with the fits of their avalanches."""
    of = {k: A for k, A in rasters(finished_once).items() if k[0] == "raster"}
    tails = {(*key(row), row["variable"]): row for row in exported(finished_once, T04)}
    crackled = {key(row): row for row in exported(finished_once, T05)}
    assert set(crackled) == set(of)
    assert set(tails) == {(*k, variable) for k in of for variable in ("size", "span_tokens")}
    for k, A in of.items():
        table, mine = avalanches(A), resamples("raster", len(A))
        for variable, xmax in (("size", None), ("span_tokens", SEQ_LEN)):
            row, fit = tails[*k, variable], fit_tail(getattr(table, variable), xmax=xmax)
            assert (row["xmin"], row["xmax"], row["n_tail"]) == (fit.xmin, xmax, fit.n_tail)
            assert row["alpha_powerlaw"] == or_none(fit.alpha)
            assert row["status"] == fit.status
            assert [m for m in unexplained(T04_TAIL_FITS, row) if m != "xmax"] == []
        direct = crackling(
            table.size,
            table.span_tokens,
            window=table.window,
            touches_border=table.touches_border,
            resamples=mine,
        )
        row = crackled[k]
        assert row["crackling_gamma"] == or_none(direct.gamma)
        assert row["n_duration_points"] == direct.n_duration_points
        assert row["gamma_interior"] == or_none(direct.gamma_interior)
        assert row["pass"] is direct.passed
        assert unexplained(T05_CRACKLING_DIAGNOSTICS, row) == []


def test_short_tails_of_null_draws_leave_alpha_of_permuted_rows_undefined(
    finished_once: Workplace,
) -> None:
    """The tiny rasters have too few avalanches; T04 says so, and what S3 reads stays as it is."""
    for row in exported(finished_once, T04):
        assert row["alpha_null_perm"] is row["alpha_null_perm_low"] is None
        assert "alpha_null_perm is undefined in 3 of 3 null draws" in row["parameters_reason"]
        assert "null draws" not in (row["reason"] or "")


def test_nulls_of_t05_are_drawn_from_streams_of_their_own_name(
    finished: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """alpha of permuted rows is that of three rasters, drawn from the condition's own streams."""
    any_tail = SimpleNamespace(TAIL_FIT_MIN_TAIL_SAMPLES=1)  # what the tiny rasters have
    monkeypatch.setattr("avalattice.stats.avalanche_nulls.CONST", any_tail)
    monkeypatch.setattr("avalattice.stages.s05_analyze.write_figures", lambda *_: None)
    store = RunStore(finished.runs)
    store.remove(store.with_dependents([finished.run("S05").name]))
    finished.pipeline().run(STAGES[StageTag.S05], allow_resume=False)
    A = held_out(finished)
    rows = {(*key(row), row["variable"]): row for row in exported(finished, T04)}
    for entry in conditions(finished, "S03"):
        raster = A[entry["cond_id"]]
        name = [entry[k] for k in ("model_role", "dataset_role", *CURVE)]
        name += [entry["gain"], entry["intervention_id"], "NULL_RASTER_WITHIN_LAYER_TIME_PERM"]
        rngs = [stream(CONST.BOOTSTRAP_SEED, "S05", *name, n) for n in range(len(raster))]
        draws = [
            np.stack([permutation_null(w, rng) for w, rng in zip(raster, rngs, strict=True)])
            for _ in range(3)
        ]
        at = "raster", *(entry[k] for k in CURVE), float(entry["gain"])
        row, expected = rows[*at, "size"], null_avalanches(draws)
        assert row["alpha_null_perm"] == expected.alpha_size.mean
        assert row["alpha_null_perm_low"] == expected.alpha_size.range[0]
        assert rows[*at, "span_tokens"]["alpha_null_perm"] == or_none(expected.alpha_span.mean)
        two = null_avalanches(draws[:2]).alpha_size.mean
        assert row["alpha_null_perm"] != two  # control


# ------------------------------------------------------------------------------------------ T06


def ablations(place: Workplace) -> dict[Key, Row]:
    """T06's rows by their key, and the gain condition."""
    names = (*CURVE, "intervention_id", "adjacency_id", "g_condition")
    return {tuple(row[k] for k in names): row for row in exported(place, T06)}


def test_t06_has_every_intervention_and_adjacency(finished_once: Workplace) -> None:
    """A g1 row of the gain on every MLP, and a g* row of each intervention."""
    curves = choices(finished_once)
    expected = {
        (*curve, intervention, adjacency, g)
        for curve in curves
        for adjacency in ("ADJ_4N", "ADJ_8N")
        for intervention, g in [("MLP_GLOBAL", "g1"), *((name, "gstar") for name in InterventionId)]
    }
    assert set(ablations(finished_once)) == expected
    for row in exported(finished_once, T06):
        assert row["gain_target"] == ("ATTN" if "ATTN" in row["intervention_id"] else "MLP")
        assert (row["n_sequences"], row["few_windows"]) == (N_CALIBRATION, True)
        assert unexplained(T06_ABLATIONS, row) == []


def test_the_global_gain_is_the_grids(finished_once: Workplace) -> None:
    """MLP_GLOBAL's rows repeat T01's in-sample numbers at gain 1 and at g*."""
    summary = {key(row): row for row in exported(finished_once, T01)}
    rows, compared = ablations(finished_once), 0
    for curve, choice in choices(finished_once).items():
        for g_condition, g in (("g1", "1.0"), ("gstar", choice["gstar"])):
            row = rows[*curve, "MLP_GLOBAL", "ADJ_4N", g_condition]
            if g_condition == "gstar" and g == "1.0":
                continue
            of = summary["calibration", *curve, float(g)]
            for name in ("b_tot", "delta_b_tot", "delta_b_depth_shift", "chi"):
                assert row[name] == pytest.approx(of[name], rel=1e-12)
                ends = [row[f"{name}_ci_low"], row[f"{name}_ci_high"]]
                expected = [of[f"opt_{name}_ci_low"], of[f"opt_{name}_ci_high"]]
                assert ends == pytest.approx(expected, rel=1e-9)
            for name in ("n_avalanches", "avalanche_size_mean", "crackling_gamma"):
                assert row[name] == of[name]
            assert row["achieved_rate_max_abs_err"] == of["achieved_rate_max_abs_err"]
            compared += 1
    assert compared > len(choices(finished_once))


def test_gains_that_coincide_have_null_rows(finished_once: Workplace) -> None:
    """Where g* is 1 the rows at g* say so and hold no number; elsewhere every one does."""
    curves = choices(finished_once)
    assert {"1.0"} < {choice["gstar"] for choice in curves.values()}
    for (*curve, _, _, g_condition), row in ablations(finished_once).items():
        coincide = g_condition == "gstar" and curves[tuple(curve)]["gstar"] == "1.0"
        assert (row["reason"] == "gains coincide") == coincide
        assert (row["b_tot"] is None) == (row["n_avalanches"] is None) == coincide
        if g_condition == "gstar":
            assert row["g"] == float(curves[tuple(curve)]["gstar"])


def test_passes_are_spent_on_gains_that_differ_alone(finished_once: Workplace) -> None:
    """Interventions times distinct g* other than 1, times calibration windows; as was planned."""
    gains = {choice["gstar"] for choice in choices(finished_once).values()} - {"1.0"}
    cost = read_record(finished_once.run("S05")).cost
    assert cost.forward_windows == len(OTHERS) * len(gains) * N_CALIBRATION
    assert cost.forward_tokens == cost.forward_windows * SEQ_LEN
    planned = forward_windows(finished_once.pipeline(), STAGES[StageTag.S05])
    assert planned == cost.forward_windows


def test_ablations_are_rate_matched_by_themselves(
    finished_once: Workplace, models: dict[str, Path]
) -> None:
    """Each layer holds its k events under every intervention; the raster is a plain pass's."""
    curves, rows = choices(finished_once), ablations(finished_once)
    targets = document(finished_once, "S01", "rate_targets")
    calibration = np.load(finished_once.run("S01") / "results" / "calibration_stats.npz")
    found = finished_once.pipeline().session.windows[WindowSet.CALIBRATION]
    ids = torch.from_numpy(found.input_ids).long()
    compared = 0
    for curve, choice in curves.items():
        if choice["gstar"] == "1.0":
            continue
        d, r = targets["spike_defs"].index(curve[0]), targets["labels"].index(curve[1])
        k = np.array(targets["k"][d][r])
        rates, m = np.array(targets["layer_rates"][d][r]), np.array(targets["m"])
        for name in OTHERS:
            u = ablated_u(models["instruct"], ids, name, float(choice["gstar"]))
            z = (u - calibration["mu"][:, None, None]) / (
                calibration["sigma"][:, None, None] + np.float32(CONST.EPS)
            )
            v = np.abs(z) if curve[0].endswith("ABS") else z
            A = np.zeros((len(ids), N_LAYERS, SEQ_LEN), np.int64)
            for layer in range(N_LAYERS):
                tau = np.sort(v[layer].ravel())[-k[layer] - 1]
                A[:, layer] = (v[layer] > tau).sum(axis=-1)
            np.testing.assert_array_equal(A.sum(axis=(0, 2)), k)  # no ties here
            row = rows[*curve, name, "ADJ_4N", "gstar"]
            assert row["b_tot"] == float(branching(A).b_tot)
            assert row["chi"] == pytest.approx(float(susceptibility(A).chi), rel=1e-9)
            assert row["n_avalanches"] == len(avalanches(A))
            error = np.abs(k / m - rates).max()
            assert row["achieved_rate_max_abs_err"] == pytest.approx(error, rel=1e-9, abs=1e-15)
            assert row["achieved_rate_max_abs_err"] <= (0.5 / m).max()
            compared += 1
    assert compared
    values = {name: rows[*curve, name, "ADJ_4N", "gstar"]["b_tot"] for name in OTHERS}
    assert len(set(values.values())) > 1


def ablated_u(model: Path, ids: torch.Tensor, name: str, g: float) -> np.ndarray:
    """u [L, N, T, F] under an intervention, by hooks of this test's own."""
    llama = LlamaForCausalLM.from_pretrained(model)
    layers = {
        "ATTN_GLOBAL": range(4),
        "MLP_BAND_EARLY": [0],
        "MLP_BAND_MID": [1],
        "MLP_BAND_LATE": [2, 3],
    }[name]

    def scale(_module, _inputs, output):
        return (g * output[0], *output[1:]) if isinstance(output, tuple) else g * output

    with torch.inference_mode(), scaled(llama, 1.0) as u:
        for layer in layers:
            block = llama.model.layers[layer]
            (block.self_attn if "ATTN" in name else block.mlp).register_forward_hook(scale)
        llama(input_ids=ids)
    return np.stack([u[layer].numpy() for layer in range(N_LAYERS)])


def test_without_another_gain_no_pass_is_made(workplace: Workplace) -> None:
    """Where every g* is 1 the model is not even loaded, and T06 has numbers at g1 alone."""
    workplace.edit("grid: [0.5, 1.0, 2.0]", "grid: [1.0]").run_to(StageTag.S04)
    pipeline = workplace.pipeline()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avalattice.stages.s05_analyze.write_figures", lambda *_: None)
        pipeline.run(STAGES[StageTag.S05], allow_resume=False)
    assert "model" not in vars(pipeline.session)
    assert read_record(workplace.run("S05")).cost.forward_windows == 0
    for row in exported(workplace, T06):
        assert (row["b_tot"] is None) == (row["g_condition"] == "gstar")
        assert row["reason"] == (
            "gains coincide" if row["g_condition"] == "gstar" else row["reason"]
        )
    for entry in document(workplace, "S05", "signatures")["entries"]:
        if entry["signature_id"] == "S2_SUSCEPTIBILITY_PEAK":
            assert entry["verdict"] == "not_assessable"
            assert "needs 3 gains, there are 1" in entry["reason"]


# -------------------------------------------------------------------- maps, windows, avalanches


def test_every_cond_id_leads_to_its_raster(finished_once: Workplace) -> None:
    """metrics.parquet names run, window set and cond_id of each raster, in T01's order."""
    rows, summary = results(finished_once, "S05", "metrics"), exported(finished_once, T01)
    assert [row["cond_id"] for row in rows] == list(range(len(summary)))
    runs = {"calibration": finished_once.run("S02").name, "raster": finished_once.run("S03").name}
    of = {"calibration": grid(finished_once), "raster": held_out(finished_once)}
    for row, other in zip(rows, summary, strict=True):
        assert row["source_run_id"] == runs[row["window_set"]]
        assert [row[k] for k in ("window_set", *CURVE, "gain")] == [
            other[k] for k in ("window_set", *CURVE, "g")
        ]
        A = of[row["window_set"]][row["source_cond_id"]]
        assert row["b_tot"] == other["b_tot"] == or_none(float(branching(A).b_tot))
        assert row["n_avalanches"] == other["n_avalanches"]


def test_sums_of_windows_give_every_pooled_number(finished_once: Workplace) -> None:
    """Ratios, their expectation and chi of T01 follow from the rows of metrics_windows alone."""
    windows, summary = (
        results(finished_once, "S05", "metrics_windows"),
        exported(finished_once, T01),
    )
    for cond_id, row in enumerate(summary):
        mine = [each for each in windows if each["cond_id"] == cond_id]
        assert [each["seq_id"] for each in mine] == list(range(row["n_sequences"]))
        sums = {name: sum(each[name] for each in mine) for name in mine[0] if name not in TEXTS}
        pooled = branching_from_sums(np.array([sums[name] for name in SUM_NAMES]))
        for name in BRANCHING_NAMES:
            assert row[name] == or_none(float(getattr(pooled, name)))
        expected = sums["time_pairs_perm_mean"] / sums["time_ancestors_perm_mean"]
        assert row["b_time_perm_exact"] == pytest.approx(expected, rel=1e-12)
        totals = np.array([each["events"] for each in mine], float)
        chi = totals.var(ddof=1) / (totals.mean() + CONST.CHI_EPS)
        assert row["chi"] == pytest.approx(chi, rel=1e-9)
        assert sums["n_avalanches"] == row["n_avalanches"]


TEXTS = (
    *("run_id", "stage_id", "model_id", "model_role", "dataset_role"),
    *("config_hash", "code_version"),
)


def test_avalanches_are_listed_of_held_out_rasters(finished_once: Workplace) -> None:
    """Every avalanche of Phase 3's rasters is a row, and ΣS is ΣA of each window."""
    conditions_of = results(finished_once, "S05", "metrics")
    rows = results(finished_once, "S05", "avalanches")
    held = {row["cond_id"]: row for row in conditions_of if row["window_set"] == "raster"}
    assert {row["cond_id"] for row in rows} == set(held)
    A = held_out(finished_once)
    total = np.zeros(A.shape[:2], np.int64)
    for row in rows:
        total[held[row["cond_id"]]["source_cond_id"], row["seq_id"]] += row["size"]
    np.testing.assert_array_equal(total, A.sum(axis=(2, 3)))
    for cond_id, row in held.items():
        assert sum(each["cond_id"] == cond_id for each in rows) == row["n_avalanches"]


def test_too_many_avalanches_in_a_window_stop_the_stage(
    finished: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the window and the remedy, and the run stays incomplete."""
    first = rasters(finished)[key(exported(finished, T01)[0])]
    components = avalanches(first).components_per_window()
    limit = int(components.max()) - 1
    window = int(np.argmax(components > limit))
    store = RunStore(finished.runs)
    store.remove(store.with_dependents([finished.run("S05").name]))
    monkeypatch.setattr(
        "avalattice.stages.s05_analyze.check_component_count",
        partial(check_component_count, limit=limit),
    )
    with pytest.raises(ArrayError, match=rf"window \[{window}\] of .* has {limit + 1} avalanches"):
        finished.pipeline().run(STAGES[StageTag.S05], allow_resume=False)
    assert read_record(finished.run("S05")).status == "incomplete"
    check_component_count(avalanches(first), limit + 1)  # control


def test_too_many_avalanches_under_an_intervention_stop_the_stage(
    finished: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T06's rasters are checked as those of the other tables are, which pass here."""
    store = RunStore(finished.runs)
    store.remove(store.with_dependents([finished.run("S05").name]))
    monkeypatch.setattr(
        "avalattice.stages.ablations.check_component_count",
        partial(check_component_count, limit=0),
    )
    with pytest.raises(ArrayError, match=r"window \[\d+\] of .* avalanches"):
        finished.pipeline().run(STAGES[StageTag.S05], allow_resume=False)
    assert read_record(finished.run("S05")).status == "incomplete"


# ------------------------------------------------------------------------------------ verdicts


def test_every_curve_has_three_verdicts_that_follow_from_the_tables(
    finished_once: Workplace,
) -> None:
    """The numbers that a verdict rests on are those of the tables' rows at g*."""
    entries = {
        (e["spike_def_id"], e["target_label"], e["signature_id"]): e
        for e in document(finished_once, "S05", "signatures")["entries"]
    }
    curves = choices(finished_once)
    assert len(entries) == 3 * len(curves)
    summary = {key(row): row for row in exported(finished_once, T01)}
    crackled = {key(row): row for row in exported(finished_once, T05)}
    of = rasters(finished_once)
    for curve, choice in curves.items():
        at = ("raster", *curve, float(choice["gstar"]))
        first = entries[*curve, "S1_BRANCHING_CROSSING"]
        row, p = summary[at], summary[at]["delta_b_depth_shift_p_adj"]
        assert first["numbers"]["p_adj"] == p
        assert first["numbers"]["delta_b_depth_shift"] == row["delta_b_depth_shift"]
        holds = choice["bracketed"] and choice["identifiable"] and p < 0.05
        assert (first["verdict"] == "supported") == (holds and row["delta_b_depth_shift"] > 0)
        second = entries[*curve, "S2_SUSCEPTIBILITY_PEAK"]
        totals = np.stack(
            [of["calibration", *curve, float(g)].sum(axis=(1, 2), dtype=np.int64) for g in GAINS]
        )
        peak = chi_peak(
            [Decimal(g) for g in GAINS], totals, resamples("calibration", N_CALIBRATION)
        )
        assert second["numbers"]["g_peak"] == float(peak.gain)
        assert second["numbers"]["log_ratio_first"] == or_none(peak.log_ratio[0])
        third = entries[*curve, "S3_CRACKLING_RELATION"]
        for name, column in (
            ("gamma", "crackling_gamma"),
            ("gamma_ci_low", "crackling_ci_low"),
            ("dcc_signed", "dcc_signed"),
            ("gamma_null", "gamma_null_perm"),
            ("gamma_null_tokens_high", "gamma_null_tokens_high"),
        ):
            assert third["numbers"][name] == crackled[at][column]
        if not crackled[at]["pass"]:
            assert third["verdict"] == "not_assessable"


def test_percolation_is_told_of_every_held_out_raster(finished_once: Workplace) -> None:
    """Occupancy beside the threshold of independent sites, for each of Phase 3's conditions."""
    found = document(finished_once, "S05", "signatures")["percolation"]
    A = held_out(finished_once)
    assert len(found) == len(A)
    for entry, raster in zip(found, A, strict=True):
        context = percolation_context(raster)
        assert (entry["occupancy"], entry["near"]) == (context.occupancy, bool(context.near))
        assert entry["words"] == context.words


# --------------------------------------------------------------------------------- both forms


@pytest.mark.parametrize(
    "schema", [s for s in TABLES if s.name[:3] in ("T01", "T04", "T05", "T06")]
)
def test_tables_are_the_same_in_both_forms(finished_once: Workplace, schema) -> None:
    """CSV read back by its schema equals Parquet."""
    path = finished_once.run("S05") / TableId[schema.name]
    parquet = read_table(Path(f"{path}.parquet"), schema)
    assert read_csv(Path(f"{path}.csv"), schema).equals(parquet)


def test_every_figure_is_there_in_both_forms(finished_once: Workplace) -> None:
    """Twelve figures as PDF and PNG, each of which begins as its kind does."""
    index = read_record(finished_once.run("S05")).artifact_index
    figures = [f for f in FigureId if f.name[:3] not in ("F06", "F07")]
    for figure in figures:
        for suffix, magic in ((".pdf", b"%PDF"), (".png", b"\x89PNG")):
            assert f"{figure}{suffix}" in index
            content = (finished_once.run("S05") / f"{figure}{suffix}").read_bytes()
            assert content.startswith(magic)
            assert finished_once.run("S05").name.encode() in content
    assert len([name for name in index if name.startswith("figs/")]) == 2 * len(figures)


# --------------------------------------------------------------------------- degenerate lattices


def edit_two_layers(place: Workplace, folder: Path) -> None:
    model = save_model(folder / "shallow", seed=5, n_layers=2)
    write_config(folder, model, model)


def edit_one_layer(place: Workplace, folder: Path) -> None:
    model = save_model(folder / "flat", seed=5, n_layers=1)
    write_config(folder, model, model)


def edit_two_tokens(place: Workplace, folder: Path) -> None:
    place.edit("seq_len_tokens: 16", "seq_len_tokens: 2")


@pytest.mark.parametrize(
    "edit", [edit_two_layers, edit_one_layer, edit_two_tokens], ids=lambda e: e.__name__[5:]
)
def test_degenerate_lattices_give_rows_with_reasons(
    workplace: Workplace, tmp_path: Path, edit: Callable[[Workplace, Path], None]
) -> None:
    """Two layers, one layer, or two tokens: every table is written, and nulls are explained."""
    edit(workplace, tmp_path)
    workplace.run_to(StageTag.S05)
    schemas = {T01: T01_SUMMARY, T05: T05_CRACKLING_DIAGNOSTICS, T06: T06_ABLATIONS}
    for table, schema in schemas.items():
        rows = read_table(workplace.run("S05") / f"{table}.parquet", schema).to_pylist()
        assert rows
        for row in rows:
            assert unexplained(schema, row) == []
    assert len(exported(workplace, T01)) == len(rasters(workplace))
    entries = document(workplace, "S05", "signatures")["entries"]
    assert len(entries) == 3 * 2 * len(TARGETS)
    assert all(entry["reason"] for entry in entries)
    bands = [row for row in exported(workplace, T06) if "BAND" in row["intervention_id"]]
    if edit is edit_two_layers:
        why = {row["reason"] for row in bands} - {"gains coincide"}
        assert why
        assert all("2 layers has no thirds of the depth" in reason for reason in why)
        measured = [r for r in exported(workplace, T06) if r["intervention_id"] == "ATTN_GLOBAL"]
        assert any(row["b_tot"] is not None for row in measured)
    if edit is edit_one_layer:
        assert {choice["gstar"] for choice in choices(workplace).values()} == {None}
        assert {row["b_depth"] for row in exported(workplace, T01)} == {None}
        without_gstar = [e["verdict"] for e in entries if "S2" not in e["signature_id"]]
        assert set(without_gstar) == {"not_assessable"}
