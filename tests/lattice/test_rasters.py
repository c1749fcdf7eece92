"""Raster files: what is written is what is read, and what is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from decimal import Decimal

import numpy as np
import pytest

from avalattice.arrays import write_npz
from avalattice.canon import DatasetRole, InterventionId, ModelRole, NpzKey, NullId, SpikeDefId
from avalattice.errors import ArrayError
from avalattice.lattice.rasters import (
    Condition,
    Rasters,
    load_rasters,
    raster_members,
    save_rasters,
)
from avalattice.rng import stream

C, N, L, T = 3, 19, 2, 5


def counts(*shape: int) -> np.ndarray:
    """Counts of that shape; always the same ones."""
    draw = np.random.default_rng(7).integers(0, 4, size=shape or (C, N, L, T))
    return np.where(draw == 3, 65535, draw).astype(np.uint16)


def rasters(A: np.ndarray | None = None, **changes) -> Rasters:
    """Rasters with identifiers that are not their indices."""
    A = counts() if A is None else A
    given = {
        "cond_id": 10 * np.arange(A.shape[0], dtype=np.int32),
        "seq_id": np.arange(A.shape[1], dtype=np.int32)[::-1].copy(),
    }
    return Rasters(A, **given | changes)


def condition(gain: str = "0.85") -> Condition:
    return Condition(
        ModelRole.BASE,
        DatasetRole.A,
        SpikeDefId.SPIKE_TWO_SIDED_ABS,
        "1e-5",
        1e-5,
        Decimal(gain),
    )


def write(path, **changes) -> None:
    """A raster file with members replaced, or left out where None."""
    plain = rasters()
    members = {"X": plain.X, "A": plain.A, "cond_id": plain.cond_id, "seq_id": plain.seq_id}
    write_npz(path, {k: v for k, v in (members | changes).items() if v is not None})


# ----------------------------------------------------------------------------------- round trip


def test_what_is_saved_is_loaded(tmp_path):
    """Counts, occupancy and identifiers come back with dtype and values."""
    saved = rasters()
    save_rasters(tmp_path / "r.npz", saved)
    loaded = load_rasters(tmp_path / "r.npz")
    for name in ("A", "X", "cond_id", "seq_id"):
        a, b = getattr(saved, name), getattr(loaded, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert loaded.conditions is None


def test_the_file_follows_the_seed_schema(tmp_path):
    """``numpy.load`` finds X uint8 and A uint16 [C, N, L, T], cond_id and seq_id int32."""
    save_rasters(tmp_path / "r.npz", rasters())
    with np.load(tmp_path / "r.npz") as file:
        forms = {name: (file[name].dtype.name, file[name].shape) for name in file.files}
        np.testing.assert_array_equal(file["X"], file["A"] > 0)
    assert forms == {
        NpzKey.X_OCCUPANCY: ("uint8", (C, N, L, T)),
        NpzKey.A_COUNT: ("uint16", (C, N, L, T)),
        NpzKey.COND_ID: ("int32", (C,)),
        NpzKey.SEQ_ID: ("int32", (N,)),
    }


@pytest.mark.parametrize("block", [1, 4, N])
def test_blocks_give_the_bytes_of_the_whole(tmp_path, block):
    """A file written from blocks of windows is the file written from the whole stack."""
    A = counts()
    blocks = [a[n : n + block] for a in A for n in range(0, N, block)]
    write_npz(tmp_path / "blocks.npz", raster_members(lambda: blocks, A.shape))
    ids = {"cond_id": np.arange(C, dtype=np.int32), "seq_id": np.arange(N, dtype=np.int32)}
    save_rasters(tmp_path / "whole.npz", rasters(A, **ids))
    assert (tmp_path / "blocks.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_blocks_that_do_not_fill_the_stack_are_an_error(tmp_path):
    """A missing block is found while writing."""
    with pytest.raises(ArrayError, match=r"X: blocks hold 380 values, shape .* needs 570"):
        write_npz(tmp_path / "r.npz", raster_members(lambda: counts()[:2], (C, N, L, T)))


def test_counts_stay_on_disk(tmp_path):
    """Loading maps the counts and reads none into memory; they cannot be written to."""
    save_rasters(tmp_path / "r.npz", rasters())
    loaded = load_rasters(tmp_path / "r.npz")
    assert isinstance(loaded.A, np.memmap)
    assert not loaded.A.flags.writeable


def test_a_compressed_file_of_other_origin_is_read(tmp_path):
    """A file that ``numpy.savez_compressed`` wrote is read, though it cannot be mapped."""
    plain = rasters()
    np.savez_compressed(
        tmp_path / "r.npz", X=plain.X, A=plain.A, cond_id=plain.cond_id, seq_id=plain.seq_id
    )
    np.testing.assert_array_equal(load_rasters(tmp_path / "r.npz").A, plain.A)


@pytest.mark.parametrize("shape", [(0, N, L, T), (C, 0, L, T), (1, 1, 1, 1)])
def test_empty_and_smallest_stacks_are_files_too(tmp_path, shape):
    """No condition, no window, or a single site make a file like any other."""
    save_rasters(tmp_path / "r.npz", rasters(counts(*shape)))
    assert load_rasters(tmp_path / "r.npz").A.shape == shape


def test_occupancy_is_one_where_there_is_an_event():
    """X is 1 where A > 0, also at the largest count."""
    A = np.array([0, 1, 2, 65535], dtype=np.uint16).reshape(1, 1, 1, 4)
    X = rasters(A).X
    assert X.dtype == np.uint8
    assert X.ravel().tolist() == [0, 1, 1, 1]


def test_xarray_names_the_axes():
    """As an xarray, A has named axes and the identifiers as coordinates."""
    pytest.importorskip("xarray")
    array = rasters().to_xarray()
    assert array.dims == ("condition", "sequence", "layer", "token")
    assert array.sel(condition=20, sequence=0).equals(array[2, N - 1])


# -------------------------------------------------------------------------------- what is refused


def test_occupancy_that_is_not_the_counts_is_refused(tmp_path):
    """One site of X that is not A > 0, in any window, is found."""
    for index in ((0, 0, 0, 0), (C - 1, N - 1, L - 1, T - 1)):
        X = rasters().X
        X[index] ^= 1
        write(tmp_path / "r.npz", X=X)
        with pytest.raises(ArrayError, match="X must be 1 where A > 0"):
            load_rasters(tmp_path / "r.npz")
    write(tmp_path / "r.npz", X=rasters().X * 2)  # occupied, but not by a 1
    with pytest.raises(ArrayError, match="X must be 1 where A > 0"):
        load_rasters(tmp_path / "r.npz")


@pytest.mark.parametrize(("name", "length"), [("cond_id", C), ("seq_id", N)])
def test_repeated_identifiers_are_refused(tmp_path, name, length):
    """An identifier that stands twice names no raster."""
    ids = np.arange(length, dtype=np.int32)
    ids[-1] = 0
    write(tmp_path / "r.npz", **{name: ids})
    with pytest.raises(ArrayError, match=rf"r\.npz: {name} holds an identifier twice"):
        load_rasters(tmp_path / "r.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A": None}, r"missing key 'A'; the file holds \['X', 'cond_id', 'seq_id'\]"),
        ({"A": counts().astype(np.int64)}, r"A must be uint16 \[C, N, L, T\], found int64"),
        ({"X": rasters().X.astype(bool)}, r"X must be uint8 \[C, N, L, T\], found bool"),
        ({"A": counts()[0]}, r"A must be uint16 .* found uint16 of shape \(19, 2, 5\)"),
        ({"A": counts().swapaxes(0, 1)}, r"axis C has length 19 in A but 3 in X"),
        ({"seq_id": np.arange(N)}, r"seq_id must be int32 \[N\], found int64"),
        ({"cond_id": np.arange(2, dtype=np.int32)}, r"axis C has length 2 in cond_id but 3 in X"),
    ],
    ids=["key", "A's type", "X's type", "rank", "axis order", "seq_id's type", "cond_id's length"],
)
def test_another_form_is_refused(tmp_path, changes, message):
    """The message names file, key, what is expected and what was found."""
    write(tmp_path / "r.npz", **changes)
    with pytest.raises(ArrayError, match=rf"r\.npz: {message}"):
        load_rasters(tmp_path / "r.npz")


def test_tokens_and_layers_swapped_are_refused_by_the_identifiers_alone(tmp_path):
    """Swapped layers and windows do not fit seq_id, even where X and A agree."""
    A = counts().swapaxes(1, 2)
    write(tmp_path / "r.npz", A=A, X=(A > 0).astype(np.uint8))
    with pytest.raises(ArrayError, match="axis N has length 19 in seq_id but 2 in X"):
        load_rasters(tmp_path / "r.npz")


def test_what_loading_would_refuse_is_not_saved(tmp_path):
    """Lengths that disagree and identifiers that repeat are found before a file is made."""
    with pytest.raises(ArrayError, match=r"axis N has length 4 in seq_id but 19 in X"):
        save_rasters(tmp_path / "r.npz", rasters(seq_id=np.arange(4, dtype=np.int32)))
    with pytest.raises(ArrayError, match=r"cond_id holds an identifier twice"):
        save_rasters(tmp_path / "r.npz", rasters(cond_id=np.zeros(C, dtype=np.int32)))
    assert not (tmp_path / "r.npz").exists()


def test_conditions_come_one_per_cond_id(tmp_path):
    """A list of conditions of another length is refused; one of the right length is kept."""
    save_rasters(tmp_path / "r.npz", rasters())
    conditions = tuple(condition(g) for g in ("0.8", "1.0", "1.2"))
    assert load_rasters(tmp_path / "r.npz", conditions).conditions == conditions
    with pytest.raises(ArrayError, match="3 cond_id for 2 conditions"):
        load_rasters(tmp_path / "r.npz", conditions[:2])


def test_a_condition_as_json_has_canonical_gains():
    """Equal gains give equal tuples, as text that no float can blur."""
    assert condition("0.850").to_json() == condition("0.85").to_json()
    assert condition("1").to_json() == {
        "model_role": "BASE",
        "dataset_role": "A",
        "spike_def_id": "SPIKE_TWO_SIDED_ABS",
        "target_label": "1e-5",
        "target_rate": 1e-5,
        "gain": "1.0",
        "null_id": str(NullId.NULL_NONE),
        "intervention_id": str(InterventionId.MLP_GLOBAL),
    }


@pytest.mark.parametrize("gain", ["0.850", "1", "0"])
def test_a_condition_survives_json(gain):
    """What a record holds gives the condition again, with members of the registry."""
    changed = replace(
        condition(gain), null_id=NullId.NULL_TOKEN_SHUFFLE_INPUT, intervention_id="ATTN_GLOBAL"
    )
    read = Condition.from_json({"cond_id": 3, **json.loads(json.dumps(changed.to_json()))})
    assert read == changed
    assert isinstance(read.spike_def_id, SpikeDefId)
    assert isinstance(read.null_id, NullId)
    for name in ("model_role", "dataset_role", "spike_def_id", "null_id", "intervention_id"):
        with pytest.raises(ValueError, match="NONE_SUCH"):
            Condition.from_json(changed.to_json() | {name: "NONE_SUCH"})


def test_every_part_of_a_condition_but_its_rate_names_its_stream():
    """Equal gains are one name; the target goes by its label, whatever number it stands for."""
    plain = condition()
    assert plain.stream_name == replace(plain, gain=Decimal("0.850"), target_rate=1.0).stream_name
    others = {
        "model_role": ModelRole.INSTRUCT,
        "dataset_role": DatasetRole.B,
        "spike_def_id": SpikeDefId.SPIKE_ONE_SIDED_POS,
        "target_label": "0.00001",
        "gain": Decimal("0.86"),
        "null_id": NullId.NULL_TOKEN_SHUFFLE_INPUT,
        "intervention_id": InterventionId.ATTN_GLOBAL,
    }
    assert set(others) == {f.name for f in fields(Condition)} - {"target_rate"}
    draws = {
        stream(1337, *each.stream_name).integers(2**60)
        for each in (plain, *(replace(plain, **{k: v}) for k, v in others.items()))
    }
    assert len(draws) == 1 + len(others)


@pytest.mark.parametrize("on_disk", [False, True])
def test_events_by_layer_are_sums_over_windows_and_tokens(tmp_path, on_disk):
    """Sums of counts are exact where uint16 would wrap, also of a file read in blocks."""
    A = np.full((2, 9, 3, 4), 65535, np.uint16)
    A[1] = counts(1, 9, 3, 4)[0]
    stack = rasters(A)
    if on_disk:
        save_rasters(tmp_path / "r.npz", stack)
        stack = load_rasters(tmp_path / "r.npz")
    events = stack.events_by_layer()
    assert events.dtype == np.int64
    np.testing.assert_array_equal(events, A.astype(np.int64).sum(axis=(1, 3)))
    assert events[0].tolist() == [9 * 4 * 65535] * 3
