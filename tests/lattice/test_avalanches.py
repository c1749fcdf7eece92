"""Avalanches: known answers, a flood fill as oracle, and the theorems of connected components."""

import inspect
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from avalattice.canon import CONST, AdjacencyId
from avalattice.errors import ArrayError, InputError
from avalattice.lattice.avalanches import avalanches, check_component_count, labels
from avalattice.lattice.percolation import independent_sites

ADJ_4N, ADJ_8N = AdjacencyId
NEIGHBOURS = {
    ADJ_4N: [(0, 1), (1, 0), (0, -1), (-1, 0)],
    ADJ_8N: [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j],
}
SHAPE_COLUMNS = ("size", "n_sites", "span_tokens", "span_layers", "touches_border")

both_adjacencies = pytest.mark.parametrize("adjacency", list(AdjacencyId))
unhurried = settings(deadline=None)  # the first example may compile a kernel
small_counts = hnp.arrays(
    np.uint16,
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 9)),
    elements=st.sampled_from([0, 0, 0, 1, 1, 7]),
)


def flood_fill(raster, adjacency):
    """Components of one raster as lists of sites, by first site in raster order."""
    unseen = {(int(layer), int(t)) for layer, t in np.argwhere(raster)}
    for start in sorted(unseen):
        component, border = [], [start] if start in unseen else []
        unseen.discard(start)
        while border:
            site = border.pop()
            component.append(site)
            near = {(site[0] + i, site[1] + j) for i, j in NEIGHBOURS[adjacency]} & unseen
            unseen -= near
            border.extend(near)
        if component:
            yield component


def flood_rows(stack, adjacency):
    """The rows of the table, by flood fill."""
    n_layers, n_tokens = stack.shape[1:]
    for window, raster in enumerate(stack):
        for avalanche_id, sites in enumerate(flood_fill(raster, adjacency)):
            layers, tokens = zip(*sites, strict=True)
            low, high, first, last = min(layers), max(layers), min(tokens), max(tokens)
            yield (
                window,
                avalanche_id,
                sum(int(raster[site]) for site in sites),
                len(sites),
                last - first + 1,
                high - low + 1,
                first,
                last,
                low,
                high,
                low == 0 or first == 0 or high == n_layers - 1 or last == n_tokens - 1,
            )


def rows(table):
    """The table's rows as tuples, in its own order."""
    columns = (getattr(table, field.name) for field in fields(table)[:-1])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def shapes(table, names=SHAPE_COLUMNS):
    """The multiset of what does not depend on where an avalanche lies."""
    columns = (getattr(table, name).tolist() for name in names)
    return sorted(zip(table.window.tolist(), *columns, strict=True))


def sparse_stack(seed=0, shape=(5, 12, 40), occupancy=0.35):
    rng = np.random.default_rng(seed)
    counts = independent_sites(shape, occupancy, rng) * rng.integers(1, 300, shape)
    return counts.astype(np.uint16)


@both_adjacencies
def test_toy_raster(adjacency):
    """The specification's three sites are one component with D = 2 and H = 2."""
    A = np.zeros((1, 1, 3, 4), np.uint16)
    A[0, 0, 1, 1], A[0, 0, 1, 2], A[0, 0, 2, 2] = 1, 5, 1
    table = avalanches(A, adjacency)
    assert rows(table) == [(0, 0, 7, 3, 2, 2, 1, 2, 1, 2, True)]


def test_corner_contact_joins_eight_neighbours_only():
    """Sites that meet at a corner are one avalanche under ADJ_8N and two under ADJ_4N."""
    for X in (np.eye(2, dtype=np.uint8), np.eye(2, dtype=np.uint8)[::-1]):
        assert len(avalanches(X, ADJ_4N)) == 2
        assert len(avalanches(X, ADJ_8N)) == 1


@both_adjacencies
@given(stack=small_counts)
@unhurried
def test_equals_flood_fill(adjacency, stack):
    """Every column of the table is what a flood fill finds, in raster order of first sites."""
    assert rows(avalanches(stack, adjacency)) == list(flood_rows(stack, adjacency))


def test_flood_fill_can_tell_adjacencies_apart():
    """Control: a flood fill under the other adjacency does not pass for the table."""
    stack = sparse_stack()
    assert rows(avalanches(stack, ADJ_4N)) != list(flood_rows(stack, ADJ_8N))


@both_adjacencies
@given(stack=small_counts)
@unhurried
def test_labels_equal_flood_fill(adjacency, stack):
    """Each site carries 1 + the avalanche_id of the component that a flood fill puts it in."""
    expected = np.zeros(stack.shape, np.int32)
    for window, raster in enumerate(stack):
        for avalanche_id, sites in enumerate(flood_fill(raster, adjacency)):
            expected[(window, *np.array(sites).T)] = avalanche_id + 1
    np.testing.assert_array_equal(labels(stack, adjacency), expected)


@both_adjacencies
@pytest.mark.parametrize("occupancy", [0.02, 0.15, 0.45, 0.6, 0.9])
def test_equals_scipy_on_large_stacks(adjacency, occupancy):
    """Sizes and numbers of sites are those of scipy's labels of the stack, window by window."""
    stack = sparse_stack(1, (20, 30, 257), occupancy)
    structure = np.zeros((3, 3, 3), int)
    structure[1] = scipy.ndimage.generate_binary_structure(2, 1 + (adjacency == ADJ_8N))
    label, n = scipy.ndimage.label(stack, structure)
    sizes = np.bincount(label.ravel(), stack.ravel(), n + 1)[1:].astype(np.int64)
    n_sites = np.bincount(label.ravel(), minlength=n + 1)[1:]
    table = avalanches(stack, adjacency)
    found = sorted(zip(table.size.tolist(), table.n_sites.tolist(), strict=True))
    assert found == sorted(zip(sizes.tolist(), n_sites.tolist(), strict=True))


@both_adjacencies
@given(stack=small_counts)
@unhurried
def test_reflection_changes_no_shape(adjacency, stack):
    """Turning tokens or layers round moves avalanches and changes none."""
    straight = shapes(avalanches(stack, adjacency))
    assert shapes(avalanches(stack[:, :, ::-1], adjacency)) == straight
    assert shapes(avalanches(stack[:, ::-1], adjacency)) == straight


@both_adjacencies
@given(stack=small_counts)
@unhurried
def test_transpose_swaps_the_spans(adjacency, stack):
    """With tokens and layers exchanged, D and H change places and nothing else does."""
    swapped = ("size", "n_sites", "span_layers", "span_tokens", "touches_border")
    transposed = avalanches(stack.transpose(0, 2, 1), adjacency)
    assert shapes(transposed, swapped) == shapes(avalanches(stack, adjacency))


def test_spans_are_not_interchangeable():
    """Control: a raster exists whose transpose has other spans."""
    X = np.array([[1, 1, 1], [0, 0, 0]])
    assert shapes(avalanches(X.T)) != shapes(avalanches(X))


@given(stack=small_counts)
@unhurried
def test_eight_neighbours_coarsen_four(stack):
    """Each ADJ_4N avalanche lies inside one ADJ_8N avalanche."""
    fine, coarse = labels(stack, ADJ_4N), labels(stack, ADJ_8N)
    window = np.broadcast_to(np.arange(len(stack))[:, None, None], stack.shape)
    pairs = {*zip(window.flat, fine.flat, coarse.flat, strict=True)}
    assert len(pairs) == len({(w, f) for w, f, _ in pairs})


def test_four_neighbours_do_not_coarsen_eight():
    """Control: some ADJ_8N avalanche spreads over several ADJ_4N avalanches."""
    X = np.eye(3, dtype=np.uint8)
    pairs = {*zip(labels(X, ADJ_4N).flat, labels(X, ADJ_8N).flat, strict=True)}
    assert len(pairs) > len({coarse for _, coarse in pairs})


@both_adjacencies
def test_windows_never_join(adjacency):
    """A stack has the avalanches of its windows, each as if it were alone."""
    stack = sparse_stack(occupancy=0.6)
    alone = [
        (window, *row[1:])
        for window, raster in enumerate(stack)
        for row in rows(avalanches(raster, adjacency))
    ]
    assert rows(avalanches(stack, adjacency)) == alone


@both_adjacencies
def test_layers_laid_end_to_end_do_join(adjacency):
    """Control: the same sites as one tall window have fewer avalanches."""
    stack = sparse_stack(occupancy=0.6)
    tall = stack.reshape(1, -1, stack.shape[-1])
    assert len(avalanches(tall, adjacency)) < len(avalanches(stack, adjacency))


@both_adjacencies
def test_sizes_add_up_to_the_events(adjacency):
    """In every window ΣS = ΣA and the numbers of sites add up to ΣX."""
    stack = sparse_stack()
    table = avalanches(stack, adjacency)
    sizes = np.bincount(table.window, table.size, len(stack))
    n_sites = np.bincount(table.window, table.n_sites, len(stack))
    np.testing.assert_array_equal(sizes, stack.sum(axis=(1, 2)))
    np.testing.assert_array_equal(n_sites, (stack > 0).sum(axis=(1, 2)))


def test_occupancy_has_sizes_in_sites():
    """The size of an avalanche of a binary raster is its number of sites, for counts it is not."""
    stack = sparse_stack()
    of_occupancy = avalanches(stack > 0)
    np.testing.assert_array_equal(of_occupancy.size, of_occupancy.n_sites)
    assert (avalanches(stack).size > of_occupancy.size).any()


def test_sizes_do_not_wrap():
    """Counts near the top of uint16 add up beyond it."""
    A = np.full((10, 20), 65535, np.uint16)
    assert avalanches(A).size.tolist() == [200 * 65535]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, ">u2", ">i8"])
def test_any_integer_type_gives_the_same_table(dtype):
    """The table does not depend on how whole numbers are stored."""
    stack = np.minimum(sparse_stack(), 100)
    assert rows(avalanches(stack.astype(dtype))) == rows(avalanches(stack))


def test_memory_layout_does_not_matter():
    """Strided and read-only arrays give the table of a plain copy, and stay as they were."""
    stack = sparse_stack()
    strided = np.repeat(stack, 2, axis=-1)[..., ::2]
    frozen = stack.copy()
    frozen.flags.writeable = False
    assert rows(avalanches(strided)) == rows(avalanches(frozen)) == rows(avalanches(stack))


def test_conditions_and_sequences():
    """In a stack [C, N, L, T] each avalanche knows its condition and its window."""
    stack = sparse_stack(shape=(2, 3, 4, 30))
    table = avalanches(stack)
    for c, n in np.ndindex(2, 3):
        here = (table.cond == c) & (table.seq == n)
        assert table.size[here].tolist() == avalanches(stack[c, n]).size.tolist()
    with pytest.raises(ArrayError, match=r"\[C, N, L, T\]"):
        _ = avalanches(stack[0]).cond


@both_adjacencies
def test_empty_and_full_rasters(adjacency):
    """A silent window has no avalanche, a saturated one has one; no window gives an empty table."""
    stack = np.zeros((3, 4, 5), np.uint16)
    stack[1] = 1
    table = avalanches(stack, adjacency)
    assert rows(table) == [(1, 0, 20, 20, 5, 4, 0, 4, 0, 3, True)]
    assert table.components_per_window().tolist() == [0, 1, 0]
    assert len(avalanches(stack[:0], adjacency)) == 0


def test_component_count_is_bounded():
    """A window with more avalanches than allowed is refused by name; one at the bound is not."""
    board = np.indices((3, 2, 4, 6)).sum(axis=0) % 2
    board[:, 0] = 0
    table = avalanches(board)
    check_component_count(table, limit=12)
    with pytest.raises(ArrayError, match=r"window \[0, 1\] .* 12 avalanches.* target rate"):
        check_component_count(table, limit=11)


def test_component_count_has_the_canonical_bound():
    """Without a limit of its own the check uses the canonical one."""
    board = np.indices((220, 220)).sum(axis=0) % 2
    assert len(avalanches(board)) > CONST.CC_MAX_COMPONENTS_PER_SEQ_HARDFAIL
    with pytest.raises(ArrayError, match=str(CONST.CC_MAX_COMPONENTS_PER_SEQ_HARDFAIL)):
        check_component_count(avalanches(board))


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((3, 4)), "float64"),
        (np.zeros(4, np.uint8), r"\(4,\)"),
        (np.zeros((3, 0), np.uint8), r"\(3, 0\)"),
        (np.array([[1, -2]]), "-2"),
    ],
)
@pytest.mark.parametrize("function", [avalanches, labels])
def test_wrong_arrays_are_refused(function, array, found):
    """Anything but counts with axes [..., L, T] is refused, saying what was found."""
    with pytest.raises(ArrayError, match=found):
        inspect.unwrap(function)(array)  # beneath the type checks that only tests run under


def test_unknown_adjacency_is_refused():
    """An adjacency that is not canonical is refused with those that are."""
    with pytest.raises(InputError, match="ADJ_4N, ADJ_8N"):
        avalanches(sparse_stack(), "ADJ_6N")


def test_numba_is_imported_on_first_use_only():
    """Importing the module does not import numba."""
    code = (
        "import sys, avalattice.lattice.avalanches, avalattice.lattice.nulls;"
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
