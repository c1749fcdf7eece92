"""Compiled inner loops of the permutation and token-id ensembles.

Importing this module imports numba, so its users do that on first use. Every loop runs on one
thread, and random words are drawn by the caller: a result depends on neither threads nor numba.
"""

from __future__ import annotations

import numpy as np

from avalattice.lattice.kernels import compiled


@compiled
def place_sites(row: np.ndarray, n_occupied: int, words: np.ndarray, first: int) -> int:
    """Occupy ``n_occupied`` sites of a row, every choice equally likely; the next unused word.

    Algorithm F2 of Bentley and Floyd (1987, doi:10.1145/30401.315746) places the rarer of occupied
    and empty, with one 32-bit word from ``first`` on for each site. Scaling a word to j values
    favours some by at most j/2³² of their probability.
    """
    rare = np.uint8(2 * n_occupied <= row.size)
    n_placed = n_occupied if rare else row.size - n_occupied
    row[:] = 1 - rare
    for i in range(n_placed):
        last = row.size - n_placed + i
        site = (np.int64(words[first + i]) * (last + 1)) >> 32
        row[last if row[site] == rare else site] = rare
    return first + n_placed


@compiled
def overlap(one: np.ndarray, other: np.ndarray) -> int:
    """Sites that are occupied in both rows of zeros and ones."""
    total = 0
    for i in range(one.size):
        total += one[i] & other[i]
    return total


@compiled
def permuted_edges(
    occupied: np.ndarray, n_tokens: int, words: np.ndarray, sums: np.ndarray
) -> None:
    """Count the edges of rasters whose rows are permuted, pooled over windows.

    Args:
        occupied: int64 [N, L], occupied sites of each row.
        n_tokens: T.
        words: uint32 [R, K], K the sum over rows of min(occupied, T − occupied).
        sums: int64 [3, R], zeros; receives edges and ancestors along tokens, edges along layers.
    """
    rows = np.zeros((2, n_tokens), np.uint8)
    for replicate in range(len(words)):
        word = 0
        for window in range(occupied.shape[0]):
            for layer in range(occupied.shape[1]):
                row, last_row = rows[layer % 2], rows[(layer + 1) % 2]
                k = occupied[window, layer]
                word = place_sites(row, k, words[replicate], word)
                sums[0, replicate] += overlap(row[:-1], row[1:])
                sums[1, replicate] += k - row[-1]
                if layer > 0:
                    sums[2, replicate] += overlap(last_row, row)


@compiled
def exchange_sites(
    places: np.ndarray,
    size: np.ndarray,
    occupied: np.ndarray,
    words: np.ndarray,
    first: int,
    row: np.ndarray,
) -> int:
    """Occupy the sites of a layer anew, as many as before in each stratum; the next unused word."""
    drawn = np.empty(places.size, np.uint8)
    start, word = 0, first
    for stratum in range(size.size):
        stop = start + size[stratum]
        word = place_sites(drawn[start:stop], occupied[stratum], words, word)
        start = stop
    for i in range(places.size):
        row[places[i]] = drawn[i]
    return word


@compiled
def exchanged_edges(
    places: np.ndarray,
    size: np.ndarray,
    occupied: np.ndarray,
    n_tokens: int,
    words: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Count the edges of rasters whose sites are exchanged within strata, pooled over windows.

    Args:
        places: int64 [N·T], the places of each stratum in turn; token t of window n is n·T + t.
        size: int64 [S], places of each stratum.
        occupied: int64 [L, S], occupied sites of each stratum.
        n_tokens: T.
        words: uint32 [R, K], K the sum over layers and strata of min(occupied, size − occupied).
        sums: int64 [3, R], zeros; receives edges and ancestors along tokens, edges along layers.
    """
    rows = np.zeros((2, places.size), np.uint8)
    for replicate in range(len(words)):
        word = 0
        for layer in range(len(occupied)):
            row, last_row = rows[layer % 2], rows[(layer + 1) % 2]
            word = exchange_sites(places, size, occupied[layer], words[replicate], word, row)
            sums[1, replicate] += occupied[layer].sum()
            for start in range(0, row.size, n_tokens):
                window = row[start : start + n_tokens]
                sums[0, replicate] += overlap(window[:-1], window[1:])
                sums[1, replicate] -= window[-1]
            if layer > 0:
                sums[2, replicate] += overlap(last_row, row)
