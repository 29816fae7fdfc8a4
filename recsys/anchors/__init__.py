"""Simple models that every other one is shown next to."""

from graphcl.recsys.anchors.ease import EASE
from graphcl.recsys.anchors.item_knn import ItemKNN
from graphcl.recsys.anchors.popularity import Popularity

__all__ = ["EASE", "ItemKNN", "Popularity"]
