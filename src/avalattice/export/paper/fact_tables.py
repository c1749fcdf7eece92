"""Tables of what was used, claimed and read: models, data, settings, claims, artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from avalattice.export.paper.cells import value_words
from avalattice.export.paper.evidence import ArtifactFacts, DataFacts, ModelFacts, Settings
from avalattice.export.paper.markdown import UNDEFINED, Markdown, code, number, table
from avalattice.export.paper.sentences import EvaluatedClaim
from avalattice.export.paper.summaries import verdict_words


def widths_words(widths: Sequence[int]) -> str:
    """The units of layers: one number where all are alike.

    >>> widths_words([1536, 1536]), widths_words([24, 48, 48])
    ('1,536', '24 to 48')
    """
    return " to ".join(dict.fromkeys(number(n) for n in (min(widths), max(widths))))


def models_table(models: Sequence[ModelFacts]) -> Markdown:
    """One column a model."""
    rows: dict[str, list[str]] = {
        "role": [m.role for m in models],
        "source": [code(m.source) for m in models],
        "revision": [m.revision or UNDEFINED for m in models],
        "family": [m.family for m in models],
        "layers": [number(m.n_layers) for m in models],
        "MLP units per layer": [widths_words(m.d_ff) for m in models],
        "parameters": [number(m.n_parameters) for m in models],
        "precision, device": [f"{m.dtype}, {m.device}" for m in models],
        "attention": [m.attention for m in models],
        "weights": ["random" if m.random_init else "as in the files" for m in models],
        "remark": [m.note or UNDEFINED for m in models],
    }
    lines = [[name, *cells] for name, cells in rows.items()]
    return table(["", *(m.id for m in models)], lines)


def data_table(data: Iterable[DataFacts]) -> Markdown:
    """One row a slice."""
    return table(
        ["dataset", "used for", "source", "revision", "n", "sha256 of the slice"],
        [
            (d.role, d.window_set, code(d.source), d.revision or UNDEFINED, d.n, code(d.sha256))
            for d in data
        ],
    )


def settings_table(s: Settings) -> Markdown:
    """One row a setting."""
    return table(
        ["setting", "value"],
        [
            ("gains", ", ".join(s.gains)),
            (f"targets ({s.target_unit})", ", ".join(s.targets)),
            ("spike definitions", ", ".join(map(value_words, s.spike_defs))),
            ("rate profile over depth", s.rate_profile),
            ("tau0", s.tau0),
            ("tokens per window", s.seq_len_tokens),
            ("tokens of context before each window", s.warmup_tokens),
            ("token put before every window", s.bos),
            ("windows drawn from", f"{s.pool_factor} times those used"),
            ("denominator of branching ratios", s.denominator.replace("_", " ")),
            ("adjacency of avalanches", s.adjacency),
            ("bootstrap replicates", s.bootstrap_reps),
            ("draws of each raster null", s.null_replicates),
            ("permuted rasters with avalanches", s.avalanche_replicates),
            ("draws of shuffled input", s.shuffle_replicates),
            ("replicates of the goodness of fit", s.gof_reps),
            ("interventions", ", ".join(s.interventions) or "none"),
            ("windows per batch", s.batch_size),
            ("seed", Markdown(str(s.seed))),
            ("libraries", ", ".join(f"{k} {v}" for k, v in sorted(s.libraries.items()))),
        ],
    )


def claims_table(claims: Sequence[EvaluatedClaim]) -> Markdown:
    """One row a claim, with an anchor that citations of it lead to."""
    return table(
        ["claim", "id", "table", "rows", "holds where", "verdict"],
        [
            (
                Markdown(f'<a id="c{n}"></a>C{n}'),
                code(each.claim.claim_id),
                each.claim.source.name,
                len(each.rows),
                each.claim.statement,
                verdict_words(each.verdict),
            )
            for n, each in enumerate(claims, start=1)
        ],
    )


def artifacts_table(artifacts: Iterable[ArtifactFacts]) -> Markdown:
    """One row an artifact."""
    return table(
        ["run", "config hash", "artifact", "bytes", "sha256"],
        [
            (code(a.run_id), code(a.config_hash), code(a.name), a.bytes, code(a.sha256))
            for a in artifacts
        ],
    )
