"""Lists of the best items of each user, and how good they are by a named protocol."""

from graphcl.recsys.ranking.evaluate import RankingResult, evaluate
from graphcl.recsys.ranking.exposure import coverage, exposures, gini, novelty
from graphcl.recsys.ranking.metrics import METRICS, hits_of, score_lists
from graphcl.recsys.ranking.protocols import RankingProtocol, ranking_protocol
from graphcl.recsys.ranking.rows import HasParts, HasRows, Rows, fingerprint
from graphcl.recsys.ranking.top_k import Embeddings, TopK, top_k

__all__ = [
    "METRICS",
    "Embeddings",
    "HasParts",
    "HasRows",
    "RankingProtocol",
    "RankingResult",
    "Rows",
    "TopK",
    "coverage",
    "evaluate",
    "exposures",
    "fingerprint",
    "gini",
    "hits_of",
    "novelty",
    "ranking_protocol",
    "score_lists",
    "top_k",
]
