"""Simple models that every other one is shown next to."""

from graphcl.recsys.anchors.ease import EASE
from graphcl.recsys.anchors.gf_cf import GFCF
from graphcl.recsys.anchors.ials import IALS
from graphcl.recsys.anchors.item_knn import ItemKNN
from graphcl.recsys.anchors.markov import Markov
from graphcl.recsys.anchors.popularity import Popularity

__all__ = ["EASE", "GFCF", "IALS", "ItemKNN", "Markov", "Popularity"]
