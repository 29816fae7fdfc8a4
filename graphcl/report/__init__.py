"""Tables and pictures of finished runs."""

from graphcl.report.bench_table import bench_blocks, bench_csv, bench_html, bench_markdown
from graphcl.report.pictures import embedding_map, k_curves, loss_curve
from graphcl.report.run_report import write_report
from graphcl.report.table import caption, result_markdown, result_rows, result_table

__all__ = [
    "bench_blocks",
    "bench_csv",
    "bench_html",
    "bench_markdown",
    "caption",
    "embedding_map",
    "k_curves",
    "loss_curve",
    "result_markdown",
    "result_rows",
    "result_table",
    "write_report",
]
