import copy

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.losses import PairLoss, coupled
from graphcl.negatives import Queue


def unit(n, d=3, seed=0):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(n, d), dim=1)


def ids_rule(ids):
    return Rule(torch.arange(len(ids)), different=(ids, ids))


def test_only_the_filled_part_is_met_and_no_gradient_reaches_it():
    queue, keys, a, z = Queue(10, 3), unit(4), unit(2, seed=1).requires_grad_(), unit(2, seed=2).requires_grad_()
    queue.update(keys)
    assert len(queue) == 4
    out = queue.log_z(a, z, scale=2.0, rule=Rule(torch.arange(2)))
    want = (2.0 * a @ keys.T).logsumexp(1)
    torch.testing.assert_close(out, want)
    grad = torch.autograd.grad(out.sum(), (a, z), allow_unused=True)
    torch.testing.assert_close(grad[0], torch.autograd.grad(want.sum(), a)[0])
    assert grad[1] is None


def test_the_ring_goes_over_its_end_and_writes_over_the_oldest():
    queue, batches = Queue(5, 3), [unit(3, seed=s) for s in range(4)]
    for step, batch in enumerate(batches):
        queue.update(batch, torch.arange(3) + 10 * step)
    assert len(queue) == 5
    assert sorted(queue.ids.tolist()) == [21, 22, 30, 31, 32]
    kept = torch.cat([batches[2][1:], batches[3]])
    a = unit(2, seed=9)
    out = queue.log_z(a, a, scale=2.0, rule=Rule())
    torch.testing.assert_close(out, (2.0 * a @ kept.T).logsumexp(1))


def test_a_batch_as_long_as_the_queue_fills_it_from_anywhere():
    queue = Queue(3, 3)
    queue.update(unit(2))
    queue.update(unit(3), torch.arange(3))
    assert sorted(queue.ids.tolist()) == [0, 1, 2]


def test_keys_of_the_own_id_do_not_count():
    queue, keys, a = Queue(6, 3), unit(4), unit(2, seed=1)
    queue.update(keys, torch.tensor([7, 8, 7, 9]))
    out = queue.log_z(a, a, scale=2.0, rule=ids_rule(torch.tensor([7, 5])))
    logits = 2.0 * a @ keys.T
    torch.testing.assert_close(out, torch.stack([logits[0, [1, 3]].logsumexp(0), logits[1].logsumexp(0)]))


def test_an_anchor_whose_keys_are_all_its_own_has_minus_infinity():
    queue, a = Queue(2, 3), unit(1)
    queue.update(unit(2), torch.tensor([4, 4]))
    assert queue.log_z(a, a, scale=1.0, rule=ids_rule(torch.tensor([4]))).tolist() == [-torch.inf]


def test_before_lets_the_batch_in_first_and_after_leaves_it_to_the_caller():
    z, ids = unit(3), torch.arange(3)
    before, after = Queue(8, 3, enqueue="before"), Queue(8, 3)
    out = before.log_z(z, z, scale=2.0, rule=ids_rule(ids))
    torch.testing.assert_close(out, (2.0 * z @ z.T).fill_diagonal_(-torch.inf).logsumexp(1))
    assert before.ids[:3].tolist() == [0, 1, 2]
    after.update(unit(2, seed=1))
    after.log_z(z, z, scale=2.0, rule=ids_rule(ids))
    assert len(after) == 2


def both_views(own, other, ids):
    """Candidates of the other view and of the own, and the rule for them."""
    rule = Rule(torch.arange(len(own)), different=(ids, torch.cat([ids, ids])))
    return torch.cat([other, own]), rule


def test_both_views_enter_once_a_step_and_are_met_in_both_directions():
    queue, ids = Queue(20, 3, enqueue="before"), torch.tensor([7, 4, 9])
    kept, names = [], torch.empty(0, dtype=torch.int64)
    for step in range(3):
        z1, z2 = unit(3, seed=2 * step), unit(3, seed=2 * step + 1)
        kept += [z2, z1]
        names = torch.cat([names, ids, ids])
        for own, other in ((z1, z2), (z2, z1)):
            candidates, rule = both_views(own, other, ids)
            out = queue.log_z(own, candidates, scale=2.0, rule=rule)
            logits = (2.0 * own @ torch.cat(kept).T).masked_fill(ids[:, None] == names, -torch.inf)
            torch.testing.assert_close(out, logits.logsumexp(1))
        assert len(queue) == 6 * (step + 1)
        assert int(queue.updates) == step + 1
        ids = ids + 10 if step else ids  # some instances come again


def test_both_views_go_over_the_end_of_the_ring_and_grow_old_together():
    queue, ids = Queue(8, 3, enqueue="before", max_age=0), torch.arange(3)
    for step in range(4):
        z1, z2 = unit(3, seed=2 * step), unit(3, seed=2 * step + 1)
        for own, other in ((z1, z2), (z2, z1)):
            candidates, rule = both_views(own, other, ids)
            out = queue.log_z(own, candidates, scale=2.0, rule=rule)
            logits = (2.0 * own @ candidates.T).masked_fill(ids[:, None] == rule.different[1], -torch.inf)
            torch.testing.assert_close(out, logits.logsumexp(1))
    assert len(queue) == 8


def test_a_pair_loss_of_both_views_over_an_empty_queue_is_the_exact_one():
    z1, z2, ids = unit(4, seed=1), unit(4, seed=2), torch.tensor([5, 8, 0, 3])
    queue = Queue(8, 3, enqueue="before")
    loss = PairLoss(coupled, negatives=queue, intra=True)(z1, z2, ids=ids)
    torch.testing.assert_close(loss, PairLoss(coupled, intra=True)(z1, z2, ids=ids))
    assert sorted(queue.ids.tolist()) == [0, 0, 3, 3, 5, 5, 8, 8]
    assert queue.reads_ids


def test_one_view_enters_in_each_direction():
    queue, z1, z2, ids = Queue(8, 3, enqueue="before"), unit(4, seed=1), unit(4, seed=2), torch.arange(4)
    PairLoss(coupled, negatives=queue)(z1, z2, ids=ids)
    torch.testing.assert_close(queue.keys, torch.cat([z2, z1]))


def test_a_ring_too_short_for_both_views_is_named():
    candidates, rule = both_views(unit(3), unit(3, seed=1), torch.arange(3))
    with pytest.raises(InputError, match="a queue of 5 is shorter than the batch of 6"):
        Queue(5, 3, enqueue="before").log_z(unit(3), candidates, scale=1.0, rule=rule)


def test_nothing_enters_in_evaluation():
    queue = Queue(8, 3, enqueue="before")
    queue.update(unit(2))
    queue.eval().log_z(unit(3), unit(3), scale=1.0, rule=Rule())
    assert len(queue) == 2


@pytest.mark.parametrize(("max_age", "kept"), [(None, 3), (2, 3), (1, 2), (0, 1)])
def test_keys_too_old_do_not_count(max_age, kept):
    queue, a = Queue(9, 3, max_age=max_age), unit(2, seed=5)
    batches = [unit(2, seed=s) for s in range(3)]
    for batch in batches:
        queue.update(batch)
    out = queue.log_z(a, a, scale=2.0, rule=Rule())
    torch.testing.assert_close(out, (2.0 * a @ torch.cat(batches[-kept:]).T).logsumexp(1))


def test_an_update_before_the_backward_pass_changes_no_gradient():
    a = unit(3, seed=1).requires_grad_()
    grads = []
    for overwritten in (False, True):
        queue = Queue(4, 3)
        queue.update(unit(4))
        out = queue.log_z(a, a, scale=2.0, rule=Rule())
        if overwritten:
            queue.update(unit(4, seed=3))
        grads.append(torch.autograd.grad(out.sum(), a)[0])
    assert torch.equal(*grads)


def test_a_saved_queue_goes_on_where_it_was():
    queue = Queue(5, 3, max_age=1)
    for step in range(3):
        queue.update(unit(2, seed=step), torch.tensor([step, step]))
    other = Queue(5, 3, max_age=1)
    other.load_state_dict(copy.deepcopy(queue.state_dict()))
    a = unit(2, seed=9)
    for each in (queue, other):
        each.update(unit(2, seed=7))
    assert all(torch.equal(x, y) for x, y in zip(queue.buffers(), other.buffers(), strict=True))
    assert torch.equal(*(each.log_z(a, a, scale=1.0, rule=Rule()) for each in (queue, other)))


def test_it_works_in_a_pair_loss():
    queue, z1, z2 = Queue(6, 3), unit(3, seed=1), unit(3, seed=2)
    queue.update(unit(5))
    positive = 2.0 * (z1 * z2).sum(1)
    logits = torch.cat([positive[:, None], 2.0 * z1 @ unit(5).T], 1)
    loss = PairLoss(coupled, negatives=queue, symmetric="off")(z1, z2)
    torch.testing.assert_close(loss, (logits.logsumexp(1) - positive).mean())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0, "dim": 3}, "size and dim must be >= 1"),
        ({"size": 3, "dim": 3, "enqueue": "never"}, "enqueue must be 'after'.*got 'never'"),
        ({"size": 3, "dim": 3, "max_age": -1}, "max_age must be >= 0 updates, or None to keep all; got -1"),
    ],
)
def test_a_queue_that_is_none_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        Queue(**arguments)


def test_what_does_not_fit_in_is_named():
    queue = Queue(3, 3)
    with pytest.raises(InputError, match="a queue of 3 is shorter than the batch of 4"):
        queue.update(unit(4))
    with pytest.raises(InputError, match=r"keys must be \(B, 3\)"):
        queue.update(unit(2, 5))
    with pytest.raises(InputError, match="ids must be a vector of length 2"):
        queue.update(unit(2), torch.arange(3))


def test_what_a_queue_has_no_answer_to_is_named():
    a, ids = unit(2), torch.arange(2)
    with pytest.raises(InputError, match="the queue is empty"):
        Queue(3, 3).log_z(a, a, scale=1.0, rule=Rule())
    with pytest.raises(InputError, match="the rule may hold exclude and different, nothing else"):
        Queue(3, 3).log_z(a, a, scale=1.0, rule=Rule(same=(ids, ids)))
    with pytest.raises(InputError, match="needs ids, or an anchor would meet itself"):
        Queue(3, 3, enqueue="before").log_z(a, a, scale=1.0, rule=Rule())


def test_it_prints_its_size_and_order():
    assert repr(Queue(4, 3)) == "Queue(4, 3, enqueue='after')"
    assert repr(Queue(4, 3, enqueue="before", max_age=2)) == "Queue(4, 3, enqueue='before', max_age=2)"
