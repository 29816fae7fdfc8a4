import torch

from graphcl.models.clustering.running_sum import running_sum


def descend(clear, total=None, steps=5):
    torch.manual_seed(0)
    weight = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1)
    for step in range(steps):
        if clear:
            optimizer.zero_grad()
        used = weight if total is None else running_sum(weight, total)
        ((step + 1) * (used - 1).square()).sum().backward()
        optimizer.step()
    return weight


def test_a_loop_that_clears_gradients_becomes_one_that_does_not():
    total = torch.zeros(3, 2, dtype=torch.float64)
    kept, summed, plain = descend(False), descend(True, total), descend(True)
    torch.testing.assert_close(summed, kept, rtol=0, atol=0)
    torch.testing.assert_close(total, kept.grad, rtol=0, atol=0)
    assert not torch.allclose(plain, kept)


def test_values_are_those_of_the_parameter_and_the_sum_is_not_handed_out():
    weight, total = torch.randn(4, requires_grad=True), torch.zeros(4)
    assert torch.equal(running_sum(weight, total), weight)
    running_sum(weight, total).sum().backward()
    weight.grad.mul_(7)
    assert torch.equal(total, torch.ones(4))
