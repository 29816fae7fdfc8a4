"""Cluster 1,797 handwritten digits without looking at a label, and compare with k-means.

Run: python examples/01_cluster_the_digits.py
"""

from graphcl import datasets
from graphcl.evaluation import clustering_scores, kmeans
from graphcl.tasks import GraphClusterer

data = datasets.load("digits")  # pixels as features, a 10-nearest-neighbour graph as edges; nothing is downloaded
print(data.provenance.summary())

plain = kmeans(data.x.numpy(), 10, seed=0).labels
print("k-means on pixels ", {name: f"{value:.3f}" for name, value in clustering_scores(data.y, plain).items()})

# The same settings as `graphcl run`: a sharper contrast than the default suits a dense nearest-neighbour graph.
clusterer = GraphClusterer(n_clusters=10, params={"temperature": 0.5}, progress=True)
labels = clusterer.fit_predict(data)
print("PamC              ", {name: f"{value:.3f}" for name, value in clusterer.score(data).items()})

unsure = clusterer.confidence_.argsort()[:5]
print("least certain rows", [(int(row), int(labels[row]), f"{clusterer.confidence_[row]:.2f}") for row in unsure])
