from __future__ import annotations

from graphcl.recsys import load
from graphcl.tasks import GraphClusterer, NodeEmbedder, resolve
from graphcl.tasks.clustering_run import ClusteringJudge
from graphcl.tasks.node_run import NodeJudge
from graphcl.tasks.recommendation_run import RecommendationJudge
from graphcl.tasks.recommender import Recommender
from graphcl.tasks.verdict import Verdict


def test_a_verdict_has_nothing_more_to_say_unless_told():
    assert Verdict({"name": "x"}, {}, {}).more == {}
    assert Verdict({"name": "x"}, {}, {}).frames == {}


def test_judges_make_the_estimators_of_their_tasks(run_config, node_config, planted):
    data = planted()
    for judge, kind in (
        (ClusteringJudge(run_config(), data), GraphClusterer),
        (NodeJudge(node_config(), data), NodeEmbedder),
        (RecommendationJudge(resolve("lightgcn", "davis"), load("davis")), Recommender),
    ):
        face = judge.face(7, progress=True)
        assert isinstance(face, kind)
        assert (face.seed, face.progress, face.method) == (7, True, judge.config.system)
        assert face.params == judge.config.model
        assert face.training == judge.config.training
