"""Phase 6, multiple choice: accuracy at gain 1 and at every g*, on the same questions.

A gain is passed once, however many spike definitions and targets have chosen it. Batches of
questions are kept as partial results while the run is incomplete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, partial

import numpy as np

from avalattice.arrays import ArraySpec
from avalattice.canon import OUTPUT, DatasetRole, FigureId, Scoring, StageTag, TableId, WindowSet
from avalattice.data.prompts import EncodedQuestion, encode_questions
from avalattice.export.choice_rows import (
    ChoiceComparison,
    Pass,
    ScoredOptions,
    arc_item_rows,
    choice_rows,
)
from avalattice.export.compared_gains import distinct_gains
from avalattice.export.documents import GStarDocument
from avalattice.export.figures.compared_gains import draw_arc_accuracy
from avalattice.export.figures.words import condition_words
from avalattice.export.schemas import ARC_ITEMS, T03_ARC
from avalattice.model.choices import (
    BatchScores,
    QuestionBatch,
    merge_scores,
    question_batches,
    score_batch,
)
from avalattice.progress import Task
from avalattice.rng import decimal_text
from avalattice.stages.context import StageContext
from avalattice.stats.bootstrap import Resamples
from avalattice.stats.choices import outcomes

_POSITIONS, _LOGPROB = "positions", "logprob"
_SCORES_SPEC = {_POSITIONS: ArraySpec("int64", "B"), _LOGPROB: ArraySpec("float64", "B K")}


def run(ctx: StageContext) -> None:
    """Score every question; write the items, T03 and F07."""
    gstar = ctx.document(StageTag.S02B, OUTPUT.GSTAR_JSON_BASENAME, GStarDocument)
    with ctx.run.step("load"):
        _ = ctx.session.model
    with ctx.run.step("scoring"):
        scored = _score(ctx, distinct_gains(gstar))
    with ctx.run.step("summary"):
        _write(ctx, gstar, scored)


def _score(ctx: StageContext, gains: Sequence[Decimal]) -> dict[Pass, ScoredOptions]:
    """The scores of all questions by scoring and gain."""
    questions, options = ctx.session.questions.questions, ctx.session.question_options
    scored: dict[Pass, ScoredOptions] = {}
    with ctx.progress(
        "phase 6, questions", len(options.scorings) * len(gains) * len(questions)
    ) as task:
        for scoring in options.scorings:
            encoded = encode_questions(questions, ctx.session.tokenizer, scoring)
            examination = Examination(ctx, scoring, encoded, task)
            for gain in gains:
                scored[scoring, gain] = examination.at(gain)
    return scored


@dataclass(frozen=True)
class Examination:
    """All questions, put in one way."""

    ctx: StageContext
    scoring: Scoring
    encoded: Sequence[EncodedQuestion]
    task: Task

    @cached_property
    def batches(self) -> list[QuestionBatch]:
        """The questions in batches; their sizes are part of the run's identity."""
        return question_batches(self.encoded, self.ctx.session.question_options.batch_questions)

    def at(self, gain: Decimal) -> ScoredOptions:
        """The scores at one gain, computed or read back."""
        parts = [BatchScores(p[_POSITIONS], p[_LOGPROB]) for p in self._parts(gain)]
        scores = merge_scores(self.encoded, parts)
        return ScoredOptions(self.encoded, scores.logprob, scores.n_tokens, scores.n_characters)

    def _parts(self, gain: Decimal) -> Iterator[dict[str, np.ndarray]]:
        for start, stop in self._blocks():
            before, batches = self.task.done, self.batches[start:stop]
            yield self.ctx.run.partial(
                f"{self.scoring}-gain-{decimal_text(gain)}-batches-{start}-{stop}",
                _SCORES_SPEC,
                partial(self._score_block, gain, batches),
            )
            n_questions = sum(len(batch.questions) for batch in batches)
            self.task.advance(n_questions - (self.task.done - before))  # if it was read back

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """Starts and stops of the runs of batches that are kept as partial results."""
        start, rows = 0, 0
        for stop, batch in enumerate(self.batches, start=1):
            rows += batch.n_passes
            if rows >= self.ctx.config.execution.block_windows or stop == len(self.batches):
                yield start, stop
                start, rows = stop, 0

    def _score_block(
        self, gain: Decimal, batches: Sequence[QuestionBatch]
    ) -> dict[str, np.ndarray]:
        """Scores [B, K] of some batches at one gain, NaN beyond a question's options."""
        model = self.ctx.session.model

        def work(batch: QuestionBatch) -> tuple[QuestionBatch, BatchScores]:
            return batch, score_batch(model, batch, gain)

        widest = max(len(question.continuations) for question in self.encoded)
        positions, logprob = [], []
        for batch, scores in self.ctx.session.engine.map(work, batches):
            self.ctx.run.count_forward(batch.n_passes, batch.n_tokens)
            self.task.advance(len(batch.questions))
            positions.append(scores.positions)
            missing = widest - scores.logprob.shape[1]
            logprob.append(np.pad(scores.logprob, ((0, 0), (0, missing)), constant_values=np.nan))
        return {_POSITIONS: np.concatenate(positions), _LOGPROB: np.concatenate(logprob)}


def _write(ctx: StageContext, gstar: GStarDocument, scored: Mapping[Pass, ScoredOptions]) -> None:
    questions = ctx.session.questions.questions
    answer = np.array([question.answer for question in questions])
    found = {
        each: outcomes(options.logprob, options.n_characters, answer)
        for each, options in scored.items()
    }
    name = ("bootstrap", str(DatasetRole.ARC_MCQ), str(WindowSet.EVALUATION))
    resamples = Resamples.draw(len(questions), ctx.config.bootstrap.reps, ctx.rng(*name))
    comparison = ChoiceComparison.of(found, resamples)
    for warning in comparison.warnings():
        ctx.run.note(warning)
        ctx.session.reporter.say(f"warning: {warning}")
    ctx.write_table(
        OUTPUT.ARC_ITEMS_PARQUET_BASENAME,
        ARC_ITEMS,
        arc_item_rows(ctx.provenance, questions, scored, found),
    )
    rows = choice_rows(ctx.provenance, gstar, comparison)
    table = ctx.export_table(TableId.T03_ARC, T03_ARC, rows)
    rows = table.to_pylist()
    ctx.export_figure(FigureId.F07_ARC_MCQ, draw_arc_accuracy(rows), condition_words(rows))
