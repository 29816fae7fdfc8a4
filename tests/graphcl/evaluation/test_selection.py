import numpy as np
import pytest

from graphcl.errors import InputError
from graphcl.evaluation import Prediction, Selection, clustering_scores
from graphcl.evaluation.selection import STAMP, Oracle

Y = np.array([0, 0, 0, 1, 1, 1])
GOOD, FAIR, POOR = np.array([1, 1, 1, 0, 0, 0]), np.array([1, 1, 0, 0, 0, 0]), np.array([0, 1, 0, 1, 0, 1])


def says(labels):
    labels = np.asarray(labels)
    return Prediction(labels, np.ones(len(labels), dtype=np.float32), np.zeros((len(labels), 2), dtype=np.float32))


def watch(selection, sequence):
    """The epochs shown until the selection asks to stop."""
    for epoch, labels in enumerate(sequence):
        if selection.observe(epoch, says(labels)):
            return epoch
    return None


def test_last_keeps_the_last_epoch_and_never_stops():
    selection = Selection()
    assert watch(selection, [GOOD] * 30 + [POOR]) is None
    assert selection.epoch == 30
    assert np.array_equal(selection.chosen.labels, POOR)
    assert selection.stamp is None


def test_before_any_epoch_nothing_is_chosen():
    selection = Selection()
    assert selection.chosen is selection.epoch is selection.label_free_epoch is selection.changed is None


def test_label_free_stops_after_exactly_ten_calm_epochs():
    selection = Selection("label_free")
    # Epoch 0 has nothing to compare with, epochs 1 and 2 change, 3 to 12 are calm.
    assert watch(selection, [POOR, FAIR, GOOD] + [GOOD] * 40) == 12 == 2 + Selection.PATIENCE
    assert selection.epoch == selection.label_free_epoch == 12
    assert selection.stamp is None


def test_a_change_in_between_starts_the_count_anew():
    selection = Selection("label_free")
    assert watch(selection, [GOOD] * 10 + [FAIR] * 40) == 20


def test_a_run_that_never_calms_down_ends_at_its_last_epoch():
    selection = Selection("label_free")
    assert watch(selection, [GOOD, FAIR] * 20) is None
    assert (selection.epoch, selection.label_free_epoch) == (39, None)


@pytest.mark.parametrize(("moved", "calm"), [(1, True), (2, False), (3, False)])
def test_calm_is_fewer_than_one_node_in_a_thousand(moved, calm):
    n = 2000
    selection = Selection("label_free")
    sequence = []
    for epoch in range(15):
        labels = np.zeros(n, dtype=np.int64)
        labels[:moved] = epoch % 2
        sequence.append(labels)
    assert (watch(selection, sequence) is not None) == calm
    assert selection.changed == moved / n


def test_the_label_free_epoch_is_noted_under_every_rule_and_only_once():
    for rule in ("last", "oracle"):
        selection = Selection(rule, Y)
        assert watch(selection, [GOOD] * 15 + [FAIR] * 25) is None
        assert selection.label_free_epoch == 10


def test_oracle_keeps_the_best_epoch_and_is_stamped():
    selection = Selection("oracle", Y)
    assert watch(selection, [POOR, FAIR, GOOD, FAIR, POOR]) is None
    assert selection.epoch == 2
    assert np.array_equal(selection.chosen.labels, GOOD)
    assert selection.stamp == STAMP
    assert "not comparable" in STAMP


def test_oracle_keeps_the_first_of_equals():
    selection = Selection("oracle", Y)
    watch(selection, [FAIR, GOOD, 1 - GOOD, GOOD])
    assert selection.epoch == 1


def test_oracle_looks_only_at_nodes_that_have_a_class():
    # Poor on all nodes, but perfect on the four that count.
    scored = np.array([True, True, False, True, True, False])
    y = np.array([0, 0, -1, 1, 1, -1])
    right_where_scored = np.array([0, 0, 5, 1, 1, 6])
    wrong_where_scored = np.array([0, 1, 2, 1, 0, 2])
    selection = Selection("oracle", y, scored)
    watch(selection, [wrong_where_scored, right_where_scored, wrong_where_scored])
    assert selection.epoch == 1


@pytest.mark.parametrize("rule", ["last", "label_free"])
def test_labels_have_no_say_without_the_oracle(rule):
    sequence = [POOR, GOOD, FAIR] + [POOR] * 40
    stops = []
    for y in (None, Y, np.array([0, 1, 0, 1, 0, 2])):
        selection = Selection(rule, y)
        stop = watch(selection, sequence)
        stops.append((stop, selection.epoch, selection.label_free_epoch, selection.changed, selection.chosen.labels.tolist()))
        assert selection.stamp is None
    assert stops[0] == stops[1] == stops[2]


@pytest.mark.parametrize("rule", ["last", "label_free", "oracle"])
def test_given_labels_every_rule_notes_the_scores_of_the_epoch_that_they_would_choose(rule):
    selection = Selection(rule, Y)
    watch(selection, [POOR, FAIR, GOOD, 1 - GOOD, POOR])
    assert selection.oracle == Oracle(2, clustering_scores(Y, GOOD))
    assert selection.epoch == (2 if rule == "oracle" else 4)


def test_without_labels_nothing_is_noted_of_the_oracle():
    selection = Selection()
    watch(selection, [GOOD, FAIR])
    assert selection.oracle is None


def test_a_stop_leaves_the_oracle_with_the_epochs_there_were():
    selection = Selection("label_free", Y)
    assert watch(selection, [FAIR] * 11 + [GOOD]) == 10
    assert selection.oracle == Oracle(0, clustering_scores(Y, FAIR))


@pytest.mark.parametrize("masked", [False, True])
def test_the_four_scores_are_those_of_one_epoch_and_acc_is_the_highest_there_was(masked):
    rng = np.random.default_rng(3)
    y = rng.integers(-2, 3, 60) * 7
    scored = rng.random(60) < 0.6 if masked else None
    keep = np.ones(60, dtype=bool) if scored is None else scored
    sequence = [np.where(rng.random(60) < 0.5, (y + 14) // 7, rng.integers(0, 7, 60)) for _ in range(40)]
    selection = Selection("last", y, scored)
    watch(selection, sequence)
    scores = [clustering_scores(y[keep], labels[keep]) for labels in sequence]
    best = int(np.argmax([one["acc"] for one in scores]))
    assert best > 0
    assert selection.oracle == Oracle(best, scores[best])


def test_labels_that_are_no_classes_are_refused_at_the_first_epoch():
    with pytest.raises(InputError, match="y must be a non-empty vector with one integer class a node"):
        Selection("last", Y + 0.5).observe(0, says(GOOD))


def test_the_prediction_is_kept_as_it_came():
    prediction, selection = says(GOOD), Selection("oracle", Y)
    selection.observe(0, prediction)
    assert selection.chosen is prediction


@pytest.mark.parametrize("rule", ["best", "", "Last"])
def test_an_unknown_rule_is_answered_with_the_known_ones(rule):
    with pytest.raises(InputError, match=f"must be one of last, label_free, oracle; got '{rule}'"):
        Selection(rule)


def test_oracle_without_labels_is_refused():
    with pytest.raises(InputError, match="oracle selection needs labels, and this data has none: use last or label_free"):
        Selection("oracle")


@pytest.mark.parametrize("rule", ["last", "label_free", "oracle"])
@pytest.mark.parametrize("cut", range(0, 16, 3))
def test_a_selection_that_went_through_its_state_chooses_as_one_that_never_stopped(rule, cut):
    sequence = [POOR, GOOD, FAIR, *[FAIR] * 13]
    whole, first, second = (Selection(rule, Y) for _ in range(3))
    want = [whole.observe(epoch, says(labels)) for epoch, labels in enumerate(sequence)]
    got = [first.observe(epoch, says(labels)) for epoch, labels in enumerate(sequence[:cut])]
    second.load_state_dict(first.state_dict())
    got += [second.observe(epoch, says(labels)) for epoch, labels in enumerate(sequence[cut:], cut)]
    assert got == want
    assert (second.epoch, second.label_free_epoch, second.changed) == (whole.epoch, whole.label_free_epoch, whole.changed)
    assert np.array_equal(second.chosen.labels, whole.chosen.labels)
    assert second.oracle == whole.oracle == Oracle(1, clustering_scores(Y, GOOD))
