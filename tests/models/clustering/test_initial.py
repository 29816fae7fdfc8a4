from importlib import import_module

import pytest
import torch
from torch import nn

from graphcl.errors import InputError
from graphcl.evaluation import clustering_scores
from graphcl.models.clustering.initial import place_centres


def points():
    torch.manual_seed(0)
    y = torch.arange(3).repeat_interleave(20)
    return 5 * torch.eye(3)[y] + 0.1 * torch.randn(60, 3), y


def test_centres_are_the_means_of_the_groups_that_k_means_finds():
    z, y = points()
    centres = nn.Parameter(torch.zeros(3, 3))
    initial = place_centres(centres, z, n_init=2, seconds=1.5)
    labels = torch.from_numpy(initial.labels)
    assert clustering_scores(y, initial.labels)["acc"] == 1
    assert initial.seconds == 1.5
    for cluster in range(3):
        torch.testing.assert_close(centres[cluster].detach(), z[labels == cluster].mean(0))
    assert centres.requires_grad


def test_the_seed_comes_from_torchs_generator():
    z, centres = torch.rand(50, 2), nn.Parameter(torch.zeros(8, 2))

    def labels(seed):
        torch.manual_seed(seed)
        return place_centres(centres, z, n_init=1).labels

    assert (labels(1) == labels(1)).all()
    assert any((labels(1) != labels(seed)).any() for seed in (2, 3, 4))
    assert place_centres(centres, z, n_init=1).seconds == 0


def test_more_clusters_than_nodes_are_refused():
    with pytest.raises(InputError, match="the number of clusters must lie in 1"):
        place_centres(nn.Parameter(torch.zeros(9, 2)), torch.rand(4, 2), n_init=1)


def test_many_nodes_begin_as_k_means_of_many_points_does(monkeypatch):
    z, y = points()
    monkeypatch.setattr(import_module("graphcl.evaluation.kmeans"), "LARGE", 59)
    centres = nn.Parameter(torch.zeros(3, 3))
    assert clustering_scores(y, place_centres(centres, z, n_init=20).labels)["acc"] == 1
