"""Cluster a graph that lies in a CSV file: here who meets whom in Les Misérables, with names as ids.

Run: python examples/02_cluster_your_own_csv.py [edges.csv [nodes.csv]] [--k 6]
"""

import argparse
import csv
import tempfile
from pathlib import Path

import networkx as nx

from graphcl import datasets
from graphcl.tasks import GraphClusterer


def write_les_miserables(folder: Path) -> Path:
    """An edge table as it might come out of anyone's database: two names and how often they meet."""
    path = folder / "edges.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["source", "target", "weight"])
        table.writerows((a, b, w) for a, b, w in nx.les_miserables_graph().edges(data="weight"))
    return path


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("edges", nargs="?", type=Path)
parser.add_argument("nodes", nargs="?", type=Path)
parser.add_argument("--k", type=int, default=6)
arguments = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    edges = arguments.edges or write_les_miserables(Path(folder))
    data = datasets.from_tables(edges, arguments.nodes)
print("kept:", data.kept)

clusterer = GraphClusterer(n_clusters=arguments.k).fit(data)
for cluster in range(arguments.k):
    members = [name for name, label in zip(data.node_ids, clusterer.labels_, strict=True) if label == cluster]
    print(f"{cluster}: {len(members)} nodes:", ", ".join(members[:8]) + (", ..." if len(members) > 8 else ""))
