"""Rows reduced by segment, and weighted sums of gathered rows.

Deterministic on the CPU and by the Triton kernels; on a GPU without Triton, and for float64 there, under torch's deterministic
algorithms.
"""

from graphcl.kernels.segment.gather_sum import gather_sum
from graphcl.kernels.segment.maximum import segment_max
from graphcl.kernels.segment.softmax import segment_logsumexp, segment_softmax
from graphcl.kernels.segment.sums import segment_mean, segment_sum

__all__ = ["gather_sum", "segment_logsumexp", "segment_max", "segment_mean", "segment_softmax", "segment_sum"]
