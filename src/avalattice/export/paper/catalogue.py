"""The claims of the paper, in the order in which they are told.

Which claims are made does not depend on how they turn out; only the rows at g* follow from the
choices of g*, since a curve whose g* is 1 has nothing to compare.
"""

from __future__ import annotations

from avalattice.export.paper.claims import Claim
from avalattice.export.paper.claims_avalanches import avalanche_claims
from avalattice.export.paper.claims_branching import branching_claims
from avalattice.export.paper.claims_gain import gain_claims
from avalattice.export.paper.claims_transfer import transfer_claims
from avalattice.export.paper.conditions import CurveRows


def catalogue(curves: CurveRows) -> tuple[Claim, ...]:
    """Every claim."""
    return (
        *branching_claims(curves),
        *gain_claims(),
        *avalanche_claims(curves),
        *transfer_claims(curves),
    )
