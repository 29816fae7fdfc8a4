import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.evaluation import clustering_scores, kmeans
from graphcl.models.clustering.scgc_l import SCGCL
from graphcl.training import ClusteringSystem, HasFitEnd, Trainer, TrainingConfig, deterministic, seed_everything

SMALL = {"width": 5, "hops": 2, "n_init": 3, "noise": 0.0}


def small(seed=0, **options):
    torch.manual_seed(seed)
    return SCGCL(6, 3, **{**SMALL, **options})


def fit(data, seed=0, epochs=5, lr=5e-3, **options):
    with deterministic():
        seed_everything(seed)
        system = SCGCL(6, 3, **{**SMALL, **options})
        state = Trainer(TrainingConfig(epochs=epochs, lr=lr, device="cpu")).fit(system, data)
    return system, state


def dense_views(system, data):
    n = data.num_nodes
    weight = data.edge_weight.double() if "edge_weight" in data else torch.ones(data.edge_index.shape[1]).double()
    b = torch.eye(n, dtype=torch.float64)
    b[data.edge_index[1], data.edge_index[0]] = weight
    root = b.sum(1).rsqrt()
    a = root[:, None] * b * root
    x = torch.linalg.matrix_power(a, system.hops) @ data.x.double()
    first, second = (x @ system.maps.weight.double().T + system.maps.bias.double()).chunk(2, 1)
    return F.normalize(first, dim=1), F.normalize(second, dim=1), b


@pytest.mark.parametrize("hops", [0, 1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_is_the_published_loss_and_its_gradient(hops, weighted, blocks, step):
    data, system = blocks(weighted=weighted, isolated=1), small(hops=hops)
    first, second, b = dense_views(system, data)
    want = (first @ second.T - b).square().sum() / data.num_nodes**2
    wanted = torch.autograd.grad(want, list(system.maps.parameters()))
    terms, gradients = step(system, data)
    torch.testing.assert_close(terms["loss"].double(), want, rtol=1e-5, atol=1e-6)
    for name, gradient in zip(("maps.weight", "maps.bias"), wanted, strict=True):
        torch.testing.assert_close(gradients[name], gradient.to(gradients[name]), rtol=1e-4, atol=1e-6)
    assert gradients["centres"] is None


def test_equal_maps_without_noise_give_equal_views(blocks):
    data, system = blocks(), small()
    with torch.no_grad():
        for parameter in system.maps.parameters():
            half = parameter[: len(parameter) // 2]
            parameter.copy_(torch.cat([half, half]))
    first, _, _ = dense_views(system, data)
    torch.testing.assert_close(system.embed(data).double(), first, rtol=1e-5, atol=1e-6)


def test_noise_is_in_training_alone_and_on_the_second_view_alone(blocks):
    data, system = blocks(), small(noise=0.3)
    assert torch.equal(system.embed(data), system.embed(data))
    torch.manual_seed(3)
    loss = system.training_step(data)["loss"]
    torch.manual_seed(3)
    noise = torch.randn(data.num_nodes, 5)
    first, second, b = dense_views(system, data)
    want = (first @ (second + 0.3 * noise).T - b).square().mean()
    torch.testing.assert_close(loss.double(), want, rtol=1e-5, atol=1e-6)


def test_a_renamed_graph_gives_the_renamed_embedding_and_the_same_loss(blocks):
    data, system = blocks(weighted=True), small()
    order = torch.randperm(data.num_nodes)
    place = torch.argsort(order)
    other = data.clone()
    other.x, other.edge_index = data.x[order], place[data.edge_index]
    torch.testing.assert_close(system.embed(other), system.embed(data)[order])
    torch.testing.assert_close(system.training_step(other)["loss"], system.training_step(data)["loss"])


def test_sparse_features_give_the_same_loss_and_gradients(blocks, step):
    data, system = blocks(), small()
    data.x = data.x.relu()
    terms, gradients = step(system, data)
    sparse = data.clone()
    sparse.x = data.x.to_sparse_csr()
    same_terms, same_gradients = step(system, sparse)
    torch.testing.assert_close(same_terms, terms)
    torch.testing.assert_close(same_gradients, gradients, rtol=1e-4, atol=1e-6)


def test_the_sum_of_gradients_is_the_loop_that_never_clears_them(blocks):
    data, epochs = blocks(), 4
    system, _ = fit(data, epochs=epochs, gradient_sum=True)
    official = small()
    optimizer = torch.optim.Adam(official.maps.parameters(), lr=5e-3)
    for _ in range(epochs):
        official.training_step(data)["loss"].backward()
        optimizer.step()
    torch.testing.assert_close(system.maps.state_dict(), official.maps.state_dict())
    cleared, _ = fit(data, epochs=epochs)
    assert not torch.allclose(cleared.maps.weight, system.maps.weight)


def test_clusters_are_those_of_k_means_at_the_end_and_go_when_training_goes_on(blocks):
    data = blocks()
    system, _ = fit(data)
    assert isinstance(system, ClusteringSystem)
    assert isinstance(system, HasFitEnd)
    z = system.embed(data)
    q = system.assign(z)
    torch.testing.assert_close(q.sum(1), torch.ones(31))
    assert clustering_scores(kmeans(z.numpy(), 3, seed=0).labels, q.argmax(1))["acc"] == 1
    system.on_epoch_start(5, data)
    assert system.assign(z) is None


@pytest.mark.parametrize("gradient_sum", [False, True])
def test_a_saved_system_goes_on_as_it_was(gradient_sum, blocks, step):
    data = blocks()
    system, other = fit(data, gradient_sum=gradient_sum)[0], small(seed=5, gradient_sum=gradient_sum)
    other.load_state_dict(system.state_dict())
    z = system.embed(data)
    assert torch.equal(other.assign(other.embed(data)), system.assign(z))
    torch.testing.assert_close(step(other, data), step(system, data), rtol=0, atol=0)


def test_two_runs_with_one_seed_agree_to_the_last_bit_and_labels_are_not_read(blocks):
    data = blocks()
    one, state = fit(data, noise=0.1)
    other = data.clone()
    other.y = None
    same, same_state = fit(other, noise=0.1)
    assert state.history == same_state.history
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in one.state_dict().items())
    assert fit(data, seed=1, noise=0.1)[1].history != state.history


def test_groups_are_found(blocks):
    data = blocks((40, 43, 31))
    system, _ = fit(data, epochs=60, width=16)
    assert clustering_scores(data.y, system.assign(system.embed(data)).argmax(1))["acc"] > 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be >= 1; got 0"),
        ({"hops": -1}, "hops must be >= 0; got -1"),
        ({"noise": -0.1}, "noise must be >= 0; got -0.1"),
        ({"noise": float("nan")}, "noise must be >= 0; got nan"),
        ({"n_init": 0}, "n_init must be >= 1; got 0"),
    ],
)
def test_hyper_parameters_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        small(**options)
    with pytest.raises(InputError, match="n_clusters must be >= 2; got 1"):
        SCGCL(6, 1)
