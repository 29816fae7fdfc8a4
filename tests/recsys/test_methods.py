from __future__ import annotations

import pytest

from graphcl.errors import InputError
from graphcl.models import SYSTEMS
from graphcl.recsys.data.events import as_events
from graphcl.recsys.methods import ANCHORS, build_anchor, find_method, methods
from graphcl.recsys.sequences import Sequences


def test_every_recommender_has_a_name_and_anchors_come_first():
    names = list(methods())
    systems = [name for name, entry in SYSTEMS.items() if entry.task in ("recommendation", "sequential")]
    assert names == ["popularity", "item-knn", "ease", "gf-cf", "ials", "markov", *systems]
    assert {"lightgcn", "sasrec", "gru4rec", "cl4srec", "duorec", "iclrec", "mclrec", "icsrec"} <= set(systems)


@pytest.mark.parametrize("name", ANCHORS)
def test_every_anchor_is_there_and_learns(name, davis):
    entry = find_method(name)
    model = build_anchor(entry, {})
    rows = davis if entry.task == "recommendation" else Sequences.of_events(as_events(davis))
    assert model.fit(rows).trained_on is not None


def test_settings_and_the_seed_reach_the_model():
    assert build_anchor(ANCHORS["ease"], {"l2": 3.0}).l2 == 3.0
    assert build_anchor(ANCHORS["ials"], {"dim": 4}, seed=7).seed == 7
    assert build_anchor(ANCHORS["ials"], {"seed": 1}, seed=7).seed == 1
    assert build_anchor(ANCHORS["markov"], {"decay": 0.5}, seed=7, mask_seen=False).mask_seen is False
    assert build_anchor(ANCHORS["ease"], {}, mask_seen=False).l2 == build_anchor(ANCHORS["ease"], {}).l2


def test_unknown_names_get_the_nearest():
    with pytest.raises(InputError, match="unknown recommendation method 'lightgcm'; did you mean lightgcn"):
        find_method("lightgcm")
    with pytest.raises(InputError, match="unknown recommendation method 'grace'"):
        find_method("grace")
    with pytest.raises(InputError, match="unknown parameter of ease 'l1'"):
        build_anchor(ANCHORS["ease"], {"l1": 1.0})


@pytest.fixture
def davis():
    from graphcl.recsys.data import load

    return load("davis").train
