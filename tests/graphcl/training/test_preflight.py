from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.training import HasMemoryEstimate, available_memory, check_memory

CPU = torch.device("cpu")
GIB = 2**30


@pytest.fixture
def data():
    return Data(x=torch.zeros(10, 4), edge_index=torch.zeros(2, 6, dtype=torch.long))


class Hungry:
    def __init__(self, need, setting=None):
        self.need, self.setting, self.asked = need, setting, None

    def memory_estimate(self, num_nodes, num_edges, num_values):
        self.asked = (num_nodes, num_edges, num_values)
        return self.need

    def memory_remedy(self, num_nodes, num_edges, num_values, available):
        return self.setting


@pytest.fixture
def has(monkeypatch):
    """Sets what each kind of device has free."""

    def give(**free):
        monkeypatch.setattr("graphcl.training.preflight.available_memory", lambda device: free.get(device.type))

    return give


def test_what_fits_is_let_through_and_the_system_is_asked_with_the_sizes_of_the_graph(data, has):
    has(cpu=GIB)
    system = Hungry(GIB)
    assert isinstance(system, HasMemoryEstimate)
    check_memory(system, data, CPU)
    assert system.asked == (10, 6, 40)


def test_sparse_features_count_by_the_values_that_are_stored(data, has):
    has(cpu=GIB)
    data.x = torch.eye(10, 4).to_sparse_csr()
    system = Hungry(0)
    check_memory(system, data, CPU)
    assert system.asked == (10, 6, 4)


def test_what_does_not_fit_is_refused_with_need_supply_and_the_option_that_fits(data, has):
    has(cpu=3 * GIB // 2)
    with pytest.raises(InputError) as caught:
        check_memory(Hungry(10 * GIB, "model.hidden=32"), data, CPU)
    assert str(caught.value) == (
        "training needs about 10.0 GiB of memory and cpu has 1.5 GiB free; --set model.hidden=32 fits "
        "(or try your luck with --set preflight=false)"
    )


def test_a_graph_too_large_for_the_card_may_fit_the_host(data, has):
    has(cuda=GIB // 2, cpu=4 * GIB)
    with pytest.raises(InputError, match=r"about 2\.0 GiB of memory and cuda has 512 MiB free; --device cpu fits"):
        check_memory(Hungry(2 * GIB), data, torch.device("cuda"))
    with pytest.raises(InputError, match="no setting fits: take a smaller graph or a larger machine"):
        check_memory(Hungry(8 * GIB), data, torch.device("cuda"))


@pytest.mark.parametrize(
    ("free", "remedy"),
    [(5000, "--batch-nodes 4096"), (3000, "--batch-nodes 2048"), (256, "--batch-nodes 256"), (255, "no setting fits")],
)
def test_batches_are_advised_where_a_share_of_the_graph_fits(has, free, remedy):
    """Of a system that takes half a byte for a node and half a byte for an edge, of which there are as many."""
    has(cpu=free)
    system = Hungry(0)
    system.memory_estimate = lambda nodes, edges, values: (nodes + edges) // 2
    graph = Data(x=torch.zeros(8000, 4), edge_index=torch.zeros(2, 8000, dtype=torch.long))
    with pytest.raises(InputError, match=rf"{remedy} |{remedy}: "):
        check_memory(system, graph, CPU)


def test_where_need_or_supply_is_unknown_the_run_may_try(data, has):
    has(cpu=1)
    check_memory(object(), data, CPU)
    has()
    check_memory(Hungry(2**60), data, CPU)


def machine(root, *, available=8 * GIB, groups="0::/a/b\n", files=None):
    """A root with what Linux would say."""
    texts = {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable:   {available // 1024} kB\n", "proc/self/cgroup": groups}
    for name, text in {**texts, **(files or {})}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return available_memory(CPU, root)


def group(path, limit, usage, cache=0, names=("memory.max", "memory.current", "inactive_file")):
    stat = f"anon 5\n{names[2]} {cache}\n"
    return {f"{path}/{names[0]}": f"{limit}\n", f"{path}/{names[1]}": f"{usage}\n", f"{path}/memory.stat": stat}


def test_without_control_groups_it_is_what_linux_calls_available(tmp_path):
    assert machine(tmp_path) == 8 * GIB


def test_the_limit_of_any_group_above_counts_less_what_is_used_and_not_reclaimable(tmp_path):
    files = {
        **group("sys/fs/cgroup/a/b", "max", GIB),
        **group("sys/fs/cgroup/a", 4 * GIB, 3 * GIB, cache=GIB // 2),
        **group("sys/fs/cgroup/other", GIB, GIB),
    }
    assert machine(tmp_path, files=files) == 3 * GIB // 2


def test_a_group_that_is_over_its_limit_leaves_nothing(tmp_path):
    assert machine(tmp_path, files=group("sys/fs/cgroup/a/b", GIB, 2 * GIB)) == 0


def test_groups_of_the_first_version_count_too_and_their_no_limit_is_none(tmp_path):
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    files = {
        **group("sys/fs/cgroup/memory/a", 2 * GIB, GIB, names=names),
        **group("sys/fs/cgroup/memory", 2**63 - 4096, GIB, names=names),
    }
    assert machine(tmp_path, groups="7:cpu,memory:/a\n3:pids:/a\n", files=files) == GIB


def test_a_machine_that_says_nothing_is_unknown(tmp_path):
    assert available_memory(CPU, tmp_path) is None
    assert available_memory(torch.device("meta")) is None


def test_the_card_is_asked_itself(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (7, 9))
    assert available_memory(SimpleNamespace(type="cuda")) == 7
