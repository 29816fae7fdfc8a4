"""Recommend events to eighteen women of Natchez who met at fourteen of them, and see who beats the most popular event.

Run: python examples/05_recommend.py
"""

import tempfile
from pathlib import Path

import polars as pl

from graphcl.recsys import load
from graphcl.tasks import Recommender
from graphcl.training import TrainingConfig

split = load("davis")  # embedded; any CSV, Parquet or frame of users and items does as well: Recommender().fit("log.csv")
print(split.provenance.summary())

# Everyone learns from the training part; the test part is opened by score, once for each.
training = TrainingConfig(epochs=60, lr=0.02)
methods = {
    "popularity": Recommender("popularity"),
    "item-knn": Recommender("item-knn"),
    "ease": Recommender("ease", params={"l2": 10.0}),
    "gf-cf": Recommender("gf-cf", params={"rank": 4}),
    "lightgcn": Recommender("lightgcn", params={"dim": 16, "layers": 2}, training=training),
}
for name, recommender in methods.items():
    result = recommender.fit(split).score(split)
    note = f"  ({', '.join(result.stamps)})" if result.stamps else ""
    print(f"{name:11s} ndcg@10 {result.metrics['ndcg@10']:.3f}  mrr@10 {result.metrics['mrr@10']:.3f}{note}")

recommender = methods["lightgcn"]
with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
    print(recommender.recommend(["Evelyn Jefferson", "a stranger"], k=3))
    print(recommender.similar_items(["E8"], k=3))
    print(recommender.fold_in(["E1", "E3"], k=3))  # someone new, by the events she was at

with tempfile.TemporaryDirectory() as folder:
    again = Recommender.load(recommender.save(Path(folder) / "model"))
    print("the saved model recommends the same:", again.recommend().equals(recommender.recommend()))
