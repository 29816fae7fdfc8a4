"""How a run of a sequential recommender is judged: the next item of every user among all, with simple models beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphcl.errors import InputError
from graphcl.recsys import Split
from graphcl.recsys.fitting.next_item import METRIC
from graphcl.recsys.methods import SEQUENTIAL, find_method
from graphcl.recsys.ranking import RankingResult, evaluate, ranking_protocol
from graphcl.recsys.sequences import SequenceSplit, sequence_split
from graphcl.recsys.sequences.split import Part
from graphcl.tasks.recommendation_run import RecommendationJudge
from graphcl.tasks.recommender import Recommender
from graphcl.tasks.run_config import RunConfig

DEFAULT = {"lit-loo": "lit-loo-s3"}  # the narrower id of a split's own, where none is asked for


class SequentialJudge(RecommendationJudge):
    """Hit rate, NDCG and MRR at 5, 10 and 20 of the next item; popularity and counted transitions stand beside.

    Protocols: ``lit-loo-s3`` leaves out items of the history, ``lit-loo-recbole`` lists them, and numbers of one say nothing
    about those of the other. What chooses an epoch does as the protocol does. ``strict`` puts the parts together again and cuts
    the events in time. Histories are those before the part that is scored; a model learned from training alone unless it is
    fitted again. For the rest see `RecommendationJudge`.

    Args:
        config: The resolved run.
        data: The split of sequences.

    Raises:
        InputError: Not sequences, a protocol that the split does not allow, or no times for ``strict``.
    """

    lengths = (5, 10, 20)
    names = ("hr", "ndcg", "mrr", "coverage", "gini", "novelty")
    beside = ("popularity", "markov")
    chosen_by = METRIC
    data: SequenceSplit

    def __init__(self, config: RunConfig, data: SequenceSplit) -> None:
        super().__init__(config, data)

    @property
    def pairs(self) -> Split:
        """The pairs of the parts."""
        return self.data.split

    @property
    def protocol(self) -> str:
        """The id that numbers carry."""
        own = self.data.split.protocol
        return self.config.protocol or DEFAULT.get(own, own)

    @property
    def mask_seen(self) -> bool:
        """Whether items of the history are left out of lists."""
        return ranking_protocol(self.protocol).mask_seen

    def prepared(self, data: Any) -> SequenceSplit:
        """The split, made anew by time where the protocol asks for that.

        Raises:
            InputError: Data of another kind, or without times.
        """
        if not isinstance(data, SequenceSplit):
            raise InputError(f"a sequential system takes a SequenceSplit; got {type(data).__name__}")
        wanted = self.config.protocol
        if wanted is not None and ranking_protocol(wanted).in_time and data.split.protocol == "lit-loo":
            data = _by_time(data)
        judged: SequenceSplit = Recommender(self.config.system).judged(data)
        return judged

    def face(self, seed: int, *, progress: bool) -> Recommender:
        """A recommender with the settings of the run."""
        return super().face(seed, progress=progress).set_params(mask_seen=self.mask_seen)  # type: ignore[no-any-return]

    def anchor(self, name: str) -> Recommender:
        """A simple model fitted on what the system saw last."""
        ordered = find_method(name).task == SEQUENTIAL
        model = Recommender(name, refit=self.refit, mask_seen=self.mask_seen)
        return model.fit(self.data if ordered else self.data.split)

    def _score(self, scorer: Any, part: Part = "test") -> RankingResult:
        return evaluate(scorer, self.data.for_part(part), self.lengths, self.names, part=part, protocol=self.protocol)


def _by_time(data: SequenceSplit) -> SequenceSplit:
    """The same events, cut at two times for everybody."""
    made = sequence_split(data.histories("test").extended(data.test), how="temporal", name=data.provenance.name)
    about = data.provenance
    kept = replace(made.provenance, domain=about.domain, source=about.source, licence=about.licence, sha256=about.sha256)
    return replace(made, split=replace(made.split, provenance=kept))
