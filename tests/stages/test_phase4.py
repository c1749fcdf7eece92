"""Phase 4 on a tiny model: rates, null rasters and null statistics, each reckoned again."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from avalattice.canon import CONST, NullId, StageTag, WindowSet
from avalattice.errors import VerificationError
from avalattice.export.schemas import METRICS, THRESHOLDS
from avalattice.lattice.branching import branching
from avalattice.lattice.null_moments import branching_null_exact
from avalattice.lattice.nulls import branching_null_ensemble
from avalattice.lattice.rasters import Condition
from avalattice.plan import forward_windows
from avalattice.results import open_run
from avalattice.rng import stream
from avalattice.stagetable import STAGES
from avalattice.stats.null_ensemble import ensemble_statistics
from avalattice.store.record import read_record
from tests.stages.conftest import Workplace
from tests.stages.reading import (
    CURVE,
    Row,
    conditions,
    counts,
    forge_counts,
    forge_table,
    grid,
    held_out,
    results,
)
from tests.stages.test_phase6 import scaled
from tests.tiny import N_RASTERS, SEQ_LEN, save_model, write_config

SHUFFLE, PERM, SHIFT, TOKEN_ID = (
    NullId.NULL_TOKEN_SHUFFLE_INPUT,
    NullId.NULL_RASTER_WITHIN_LAYER_TIME_PERM,
    NullId.NULL_RASTER_WITHIN_LAYER_TIME_CIRC_SHIFT,
    NullId.NULL_RASTER_TOKEN_ID_STRATIFIED,
)
TUPLE = (*CURVE, "target_rate", "gain", "intervention_id")
REPLICATES = 20


def null_rasters(place: Workplace) -> dict[tuple[int, str], np.ndarray]:
    """The counts of every null raster, by Phase 3's cond_id and null."""
    A, of = counts(place, "S04", "rasters_nulls"), conditions(place, "S04")
    sources = conditions(place, "S03")
    found = {}
    for entry in of:
        (source,) = (each for each in sources if all(each[k] == entry[k] for k in TUPLE))
        found[source["cond_id"], entry["null_id"]] = A[entry["cond_id"]]
    return found


def token_ids(place: Workplace) -> np.ndarray:
    """The lattice's tokens of the raster windows."""
    table = [r for r in results(place, "S03", "windows") if r["window_set"] == "raster"]
    return np.array([row["token_ids"] for row in table])


def named_stream(entry: dict, null_id: str, *rest: str | int) -> np.random.Generator:
    """The stream of a condition's null, by a name that is put together here."""
    return stream(
        CONST.BOOTSTRAP_SEED,
        "S04",
        entry["model_role"],
        entry["dataset_role"],
        entry["spike_def_id"],
        entry["target_label"],
        Decimal(entry["gain"]),
        entry["intervention_id"],
        null_id,
        *rest,
    )


# ------------------------------------------------------------------------------ what maps them


def test_every_null_raster_has_one_row_of_metrics_and_one_condition(
    finished_once: Workplace,
) -> None:
    """cond_id counts (condition, null_id); record and metrics name the same tuples."""
    file, rows = (
        open_run(finished_once.run("S04")).rasters(),
        results(finished_once, "S04", "metrics"),
    )
    entries, sources = conditions(finished_once, "S04"), conditions(finished_once, "S03")
    assert [row["cond_id"] for row in rows] == file.cond_id.tolist() == list(range(len(rows)))
    assert len(rows) == len(entries) == 4 * len(sources)
    expected = [
        {**source, "null_id": null_id, "cond_id": n}
        for n, (source, null_id) in enumerate(product(sources, (SHUFFLE, PERM, SHIFT, TOKEN_ID)))
    ]
    assert entries == expected
    for row, entry, condition in zip(rows, entries, file.conditions, strict=True):
        assert Condition.from_json(entry) == condition
        assert [row[k] for k in (*CURVE, "target_rate", "null_id")] == [
            entry[k] for k in (*CURVE, "target_rate", "null_id")
        ]
        assert Decimal(str(row["gain"])) == Decimal(entry["gain"])
        assert row["window_set"] == "raster"


def test_metrics_of_null_rasters_are_those_of_their_counts(finished_once: Workplace) -> None:
    """Each row's ratios and rate are those of its raster, at the thresholds of Phase 3."""
    A, windows = (
        counts(finished_once, "S04", "rasters_nulls"),
        results(finished_once, "S04", "metrics_windows"),
    )
    tau = {
        tuple(row[k] for k in TUPLE): row["tau"] for row in results(finished_once, "S03", "metrics")
    }
    for row in results(finished_once, "S04", "metrics"):
        raster = A[row["cond_id"]]
        assert row["b_tot"] == float(branching(raster).b_tot)
        assert row["occupancy"] == pytest.approx((raster > 0).mean(), rel=1e-12)
        assert row["tau"] == tau[tuple(row[k] for k in TUPLE)]
        mine = [each for each in windows if each["cond_id"] == row["cond_id"]]
        assert [each["events"] for each in mine] == raster.sum(axis=(1, 2)).tolist()


# -------------------------------------------------------------------------------- null rasters


def test_null_rasters_keep_what_their_null_keeps(finished_once: Workplace) -> None:
    """Rows keep counts, shifted ones their cyclic order, token ids theirs in each layer."""
    ids, broken = token_ids(finished_once), set()
    for (c, null_id), drawn in null_rasters(finished_once).items():
        A = held_out(finished_once)[c]
        rows = list(zip(A.reshape(-1, SEQ_LEN), drawn.reshape(-1, SEQ_LEN), strict=True))
        same_rows = all(sorted(a) == sorted(b) for a, b in rows)
        turned = all(any(np.array_equal(np.roll(a, s), b) for s in range(SEQ_LEN)) for a, b in rows)
        exchanged = all(
            sorted(A[:, layer][ids == token]) == sorted(drawn[:, layer][ids == token])
            for layer, token in product(range(A.shape[1]), np.unique(ids))
        )
        kept = {PERM: same_rows, SHIFT: same_rows and turned, TOKEN_ID: exchanged, SHUFFLE: True}
        assert kept[null_id]
        others = {PERM: turned, SHIFT: exchanged, TOKEN_ID: same_rows, SHUFFLE: exchanged}
        broken |= set() if others[null_id] else {null_id}
    assert broken == {PERM, SHIFT, TOKEN_ID, SHUFFLE}  # control: each breaks what another keeps


def test_null_rasters_can_be_drawn_again_from_their_names(finished_once: Workplace) -> None:
    """Whoever knows seed, stage, condition, null and window draws the same counts."""
    drawn, A, neighbours = null_rasters(finished_once), held_out(finished_once), []
    for entry, n in product(conditions(finished_once, "S03"), range(N_RASTERS)):
        c = entry["cond_id"]
        again = named_stream(entry, PERM, n).permuted(A[c, n], axis=-1)
        np.testing.assert_array_equal(drawn[c, PERM][n], again)
        shifts = named_stream(entry, SHIFT, n).integers(SEQ_LEN, size=A.shape[2])
        turned = [np.roll(row, s) for row, s in zip(A[c, n], shifts, strict=True)]
        np.testing.assert_array_equal(drawn[c, SHIFT][n], turned)
        other = named_stream(entry, PERM, n + 1).permuted(A[c, n], axis=-1)
        neighbours.append(np.array_equal(other, again))
    assert not all(neighbours)  # control: the name of another window draws other counts


@pytest.mark.parametrize(
    "change",
    [
        ("target_events_per_site: [0.2, 0.8]", "target_events_per_site: [0.8]"),
        ("events:\n", "events:\n  spike_defs: [SPIKE_TWO_SIDED_ABS]\n"),
    ],
    ids=["one target", "one spike definition"],
)
def test_a_null_raster_does_not_depend_on_the_other_conditions(
    finished_once: Workplace, workplace: Workplace, change: tuple[str, str]
) -> None:
    """Without some of the targets or spike definitions the others' rasters are the same bytes."""
    workplace.edit(*change).run_to(StageTag.S04)
    few, many = null_rasters(workplace), null_rasters(finished_once)
    where = {tuple(e[k] for k in TUPLE): e["cond_id"] for e in conditions(finished_once, "S03")}
    assert 0 < len(few) < len(many)
    for entry in conditions(workplace, "S03"):
        for null_id in (SHUFFLE, PERM, SHIFT, TOKEN_ID):
            c = where[tuple(entry[k] for k in TUPLE)]
            np.testing.assert_array_equal(few[entry["cond_id"], null_id], many[c, null_id])


# ------------------------------------------------------------------------------- shuffled input


def recount(place: Workplace, model: Path, ids: torch.Tensor, entry: dict) -> np.ndarray:
    """Counts [N, L, T] of windows under a condition of Phase 3, by a plain pass of the model."""
    calibration = np.load(place.run("S01") / "results" / "calibration_stats.npz")
    (tau,) = (
        row["tau"] for row in results(place, "S03", "metrics") if row["cond_id"] == entry["cond_id"]
    )
    llama, layers = LlamaForCausalLM.from_pretrained(model), []
    with torch.inference_mode(), scaled(llama, float(entry["gain"])) as u:
        llama(input_ids=ids)
    for layer, values in sorted(u.items()):
        mu, sigma = calibration["mu"][layer], calibration["sigma"][layer]
        z = (values.numpy() - mu) / (sigma + np.float32(CONST.EPS))
        v = np.abs(z) if entry["spike_def_id"].endswith("ABS") else z
        layers.append((v > np.float32(tau[layer])).sum(axis=-1))
    return np.stack(layers, axis=1)[..., -SEQ_LEN:]


@pytest.mark.parametrize("bos", [False, True])
def test_shuffled_input_is_counted_by_a_pass_of_the_shuffled_tokens(
    finished_once: Workplace, models: dict[str, Path], tmp_path: Path, bos: bool
) -> None:
    """Each count is above Phase 3's tau, of tokens permuted by hand; special tokens stay."""
    place, model = finished_once, models["instruct"]
    if bos:
        model = save_model(tmp_path / "model", seed=4, bos=True)
        place = Workplace(write_config(tmp_path, model, model), tmp_path / "runs")
        place.run_to(StageTag.S04)
    ids = torch.from_numpy(place.pipeline().session.windows[WindowSet.RASTER].input_ids).long()
    assert (ids[:, 0] == 256).all() == bos
    shuffled = ids.clone()
    for n, tokens in enumerate(shuffled):
        rng = stream(CONST.BOOTSTRAP_SEED, "S04", "A", SHUFFLE, n)
        tokens[int(bos) :] = torch.from_numpy(rng.permutation(tokens[int(bos) :].numpy()))
    assert (shuffled != ids).float().mean() > 0.5
    everything = null_rasters(place)
    for entry in conditions(place, "S03"):
        found = everything[entry["cond_id"], SHUFFLE]
        np.testing.assert_array_equal(found, recount(place, model, shuffled, entry))
        measured = held_out(place)[entry["cond_id"]]
        np.testing.assert_array_equal(measured, recount(place, model, ids, entry))
        assert (measured != found).any()  # control


def test_several_orders_are_drawn_one_after_the_other(
    finished_once: Workplace, workplace: Workplace
) -> None:
    """The raster file holds the first draw, the statistics pool all of them, passes add up."""
    workplace.edit("nulls: {", "nulls: {token_shuffle_replicates: 3, ").run_to(StageTag.S04)
    one, three = null_rasters(finished_once), null_rasters(workplace)
    for key, drawn in one.items():
        np.testing.assert_array_equal(three[key], drawn)
    passes = [read_record(p.run("S04")).cost.forward_windows for p in (finished_once, workplace)]
    assert passes[1] == 3 * passes[0]
    b = [
        [row["b_tot_tokshuffle"] for row in results(p, "S04", "null_statistics")]
        for p in (finished_once, workplace)
    ]
    assert b[0] != b[1]


def test_forward_passes_are_those_of_shuffled_input_alone(finished_once: Workplace) -> None:
    """Distinct gains of Phase 3, times raster windows, times draws; the plan says the same."""
    gains = {entry["gain"] for entry in conditions(finished_once, "S03")}
    cost = read_record(finished_once.run("S04")).cost
    assert cost.forward_windows == len(gains) * N_RASTERS
    assert cost.forward_tokens == len(gains) * N_RASTERS * SEQ_LEN
    planned = forward_windows(finished_once.pipeline(), STAGES[StageTag.S04])
    assert planned == cost.forward_windows
    assert len(gains) < len(conditions(finished_once, "S03"))


# ----------------------------------------------------------------------------------------- rates


def test_thresholds_are_listed_with_events_in_and_out_of_sample(finished_once: Workplace) -> None:
    """In sample k less ties, out of sample the sums of Phase 3's rasters, null elsewhere."""
    A = held_out(finished_once).sum(axis=(1, 3))
    of = {
        (float(e["gain"]), e["spike_def_id"], e["target_label"]): A[e["cond_id"]]
        for e in conditions(finished_once, "S03")
    }
    fitted = results(finished_once, "S02", "thresholds")
    rows = results(finished_once, "S04", "tau_rate_matched")
    key = ("gain", *CURVE, "layer", "tau", "k", "ties")
    assert [[row[k] for k in key] for row in rows] == [[row[k] for k in key] for row in fitted]
    without = 0
    for row in rows:
        assert row["achieved_events_in_sample"] == row["k"] - row["ties"]
        events = of.get((row["gain"], row["spike_def_id"], row["target_label"]))
        expected = None if events is None else events[row["layer"]]
        assert row["achieved_events_out_of_sample"] == expected
        without += expected is None
    assert 0 < without < len(rows)


def one_ulp(rows: list[Row]) -> None:
    rows[1]["tau"] = rows[1]["tau"].copy()
    rows[1]["tau"][2] = np.nextafter(np.float32(rows[1]["tau"][2]), np.float32(np.inf))


def one_event(A: np.ndarray) -> None:
    """One event of a layer becomes one of the next."""
    n, t = np.argwhere(A[3, :, 0] > 0)[0]
    A[3, n, 0, t] -= 1
    A[3, n, 1, t] += 1


def one_tie(rows: list[Row]) -> None:
    rows[7]["ties"] += 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda place: forge_table(place, "S03", "metrics", METRICS, one_ulp),
            r"layer 2 was counted above .*, the fitted threshold is",
        ),
        (
            lambda place: forge_counts(place, "S02", "rasters_gain_grid", one_event),
            r"gain 0\.5, .*, target 0\.8, layer 0: the raster holds",
        ),
        (
            lambda place: forge_table(place, "S02", "thresholds", THRESHOLDS, one_tie),
            r"layer 3: the raster holds .* tied at tau",
        ),
    ],
    ids=["a threshold one ulp off", "one event moved", "one tie too many"],
)
def test_rates_that_were_not_matched_stop_the_stage(
    finished: Workplace, spoil: Callable[[Workplace], None], message: str
) -> None:
    """Upstream results that are whole, but disagree with each other, are refused by name."""
    spoil(finished)
    finished_again = finished.pipeline()
    for tag in (StageTag.S02B, StageTag.S03):
        if finished_again.status(STAGES[tag])[0] == "missing":
            finished_again.run(STAGES[tag], allow_resume=False)
    with pytest.raises(VerificationError, match=message):
        finished.pipeline().run(STAGES[StageTag.S04], allow_resume=False)
    assert read_record(finished.run("S04")).status == "incomplete"


# ------------------------------------------------------------------------------- the statistics


def test_null_statistics_have_a_row_for_every_raster(finished_once: Workplace) -> None:
    """Every raster of the grid and of Phase 3, with the closed forms of its counts."""
    rows = results(finished_once, "S04", "null_statistics")
    rasters = {"calibration": grid(finished_once), "raster": held_out(finished_once)}
    found = [(row["window_set"], row["cond_id"]) for row in rows]
    assert found == [(name, c) for name, A in rasters.items() for c in range(len(A))]
    of = {
        (window_set, entry["cond_id"]): entry
        for window_set, tag in (("calibration", "S02"), ("raster", "S03"))
        for entry in conditions(finished_once, tag)
    }
    for row in rows:
        A, entry = rasters[row["window_set"]][row["cond_id"]], of[row["window_set"], row["cond_id"]]
        assert [row[k] for k in CURVE] == [entry[k] for k in CURVE]
        assert row["gain"] == float(entry["gain"])
        exact = branching_null_exact(A)
        for name in (
            "b_tot_perm_exact",
            "delta_b_time",
            "delta_b_depth_shift",
            "z_time_perm_exact",
        ):
            assert row[name] == getattr(exact, name)
        assert row["p_depth_shift_exact"] == exact.p_depth_shift_exact
        held = row["window_set"] == "raster"
        assert (row["b_tot_tokshuffle"] is not None) == held == (row["tokshuffle_reason"] is None)
        assert (row["b_time_token_id_mean"] is not None) == held


def test_ensembles_are_drawn_from_streams_of_their_own_name(finished_once: Workplace) -> None:
    """p_mc of a raster is that of draws from streams named after it, window by window."""
    rows = {
        row["cond_id"]: row
        for row in results(finished_once, "S04", "null_statistics")
        if row["window_set"] == "raster"
    }
    A = held_out(finished_once)
    for entry in conditions(finished_once, "S03"):
        row, raster = rows[entry["cond_id"]], A[entry["cond_id"]]
        for null_id, name in ((PERM, "perm"), (SHIFT, "shift")):
            rngs = [named_stream(entry, null_id, n, "ensemble") for n in range(N_RASTERS)]
            drawn = branching_null_ensemble(raster, rngs, REPLICATES, null_id)
            expected = ensemble_statistics(raster, drawn)
            assert row[f"p_depth_{name}_mc"] == expected.p_depth_mc
            assert row[f"b_depth_{name}_sd"] == expected.b_depth_sd
        drawn = branching_null_ensemble(
            raster,
            named_stream(entry, TOKEN_ID, "ensemble"),
            REPLICATES,
            TOKEN_ID,
            token_ids=token_ids(finished_once),
        )
        assert row["p_time_token_id_mc"] == ensemble_statistics(raster, drawn).p_time_mc


def test_shuffled_statistics_are_those_of_the_shuffled_rasters(finished_once: Workplace) -> None:
    """With one draw, ratios and rates are the raster file's own; the excess is the difference."""
    rasters = null_rasters(finished_once)
    d_ff = np.load(finished_once.run("S01") / "results" / "calibration_stats.npz")["d_ff"]
    for row in results(finished_once, "S04", "null_statistics"):
        if row["window_set"] != "raster":
            continue
        shuffled = rasters[row["cond_id"], SHUFFLE]
        null = branching_null_exact(shuffled)
        assert row["b_tot_tokshuffle"] == float(branching(shuffled).b_tot)
        rate = (shuffled.sum(axis=(0, 2)) / (N_RASTERS * SEQ_LEN * d_ff)).mean()
        assert row["achieved_rate_tokshuffle"] == pytest.approx(rate, rel=1e-12)
        excess = row["delta_b_tot"] - null.delta_b_tot
        assert row["delta_excess_tokshuffle"] == pytest.approx(excess, rel=1e-9, abs=1e-12)
