"""What users did, in order: sequences, how they are split, training rows and views of them."""

from graphcl.recsys.sequences.augment import crop, insert, mask, reorder, substitute, two_views
from graphcl.recsys.sequences.batches import PrefixBatch, SequenceBatches, ShiftedBatch
from graphcl.recsys.sequences.given import given_histories
from graphcl.recsys.sequences.jagged import Jagged
from graphcl.recsys.sequences.prefix_rows import PrefixRows
from graphcl.recsys.sequences.registry import load_sequences
from graphcl.recsys.sequences.sequences import Sequences
from graphcl.recsys.sequences.split import SequenceSplit, next_events, sequence_split

__all__ = [
    "Jagged",
    "PrefixBatch",
    "PrefixRows",
    "SequenceBatches",
    "SequenceSplit",
    "Sequences",
    "ShiftedBatch",
    "crop",
    "given_histories",
    "insert",
    "load_sequences",
    "mask",
    "next_events",
    "reorder",
    "sequence_split",
    "substitute",
    "two_views",
]
