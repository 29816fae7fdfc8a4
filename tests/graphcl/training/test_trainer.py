from __future__ import annotations

import copy
import math

import pytest
import torch
from killed import Dies, Killed
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.training import NodeBatches, NonFiniteLossError, Trainer, TrainingConfig, heap


def config(epochs=5, lr=0.05):
    return TrainingConfig(epochs=epochs, lr=lr, device="cpu")


class Watch:
    """Notes what it is told, and answers from a list."""

    def __init__(self, name="", log=None, answers=None, adds=None):
        self.name, self.log, self.answers, self.adds = name, [] if log is None else log, answers or {}, adds or {}

    def on_epoch_end(self, epoch, terms):
        self.log.append((self.name, epoch, dict(terms)))
        terms.update(self.adds)
        return self.answers.get(epoch)


def test_it_runs_every_epoch_and_the_loss_falls(make_system, points):
    state = Trainer(config(40)).fit(make_system(), points)
    assert [row["epoch"] for row in state.history] == list(range(40))
    assert state.epoch == 40
    assert state.history[-1]["loss"] < state.history[0]["loss"]
    assert set(state.history[0]) == {"epoch", "loss", "fit", "size"}


def test_observers_are_told_of_every_epoch_in_their_order(make_system, points):
    log = []
    Trainer(config(2), [Watch("a", log), Watch("b", log)]).fit(make_system(), points)
    assert [(name, epoch) for name, epoch, _ in log] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_an_observer_that_says_true_stops_the_run_after_that_epoch_and_the_others_still_hear_of_it(make_system, points):
    log = []
    state = Trainer(config(9), [Watch("a", log, answers={2: True}), Watch("b", log)]).fit(make_system(), points)
    assert state.epoch == 3
    assert [epoch for name, epoch, _ in log if name == "b"] == [0, 1, 2]


@pytest.mark.parametrize("answer", [None, False])
def test_any_other_answer_lets_the_run_go_on(make_system, points, answer):
    assert Trainer(config(3), [Watch(answers={0: answer})]).fit(make_system(), points).epoch == 3


def test_a_term_that_an_observer_adds_is_seen_by_the_next_one_and_kept_in_the_history(make_system, points):
    later = Watch()
    state = Trainer(config(1), [Watch(adds={"changed": 0.25}), later]).fit(make_system(), points)
    assert later.log[0][2]["changed"] == 0.25
    assert state.history[0]["changed"] == 0.25


def test_five_epochs_and_five_more_from_the_same_state_are_ten_bit_for_bit(make_system, points):
    whole = make_system()
    torch.manual_seed(3)
    at_once = Trainer(config(10)).fit(whole, points)
    halves = make_system()
    torch.manual_seed(3)
    state = Trainer(config(5)).fit(halves, points)
    assert state.epoch == 5
    again = Trainer(config(10)).fit(halves, points, state)
    assert again is state
    assert again.history == at_once.history
    for name, value in whole.state_dict().items():
        assert torch.equal(value, halves.state_dict()[name]), name


def test_a_state_that_has_all_its_epochs_trains_no_more(make_system, points):
    system = make_system()
    state = Trainer(config(3)).fit(system, points)
    before = copy.deepcopy(system.state_dict())
    Trainer(config(3)).fit(system, points, state)
    assert len(state.history) == 3
    assert all(torch.equal(value, system.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_blamed_on_epoch_and_part_and_leaves_the_weights_before_the_bad_step(
    make_system, points, bad
):
    system, seen = make_system(), []
    step = system.training_step

    def spoilt(batch):
        seen.append(copy.deepcopy(system.state_dict()))
        terms = step(batch)
        spoil = torch.tensor(bad if len(seen) == 3 else 0.0)
        return {"loss": terms["loss"] + spoil, "fit": terms["fit"], "size": terms["size"] + spoil}

    system.training_step = spoilt
    with pytest.raises(NonFiniteLossError, match=rf"epoch 2: the term 'size' is {bad}.*smaller lr"):
        Trainer(config(5)).fit(system, points)
    assert len(seen) == 3
    for name, value in seen[-1].items():
        assert torch.equal(value, system.state_dict()[name]), name


def test_the_loss_itself_is_named_when_no_part_is_to_blame(make_system, points):
    system = make_system()
    step = system.training_step
    system.training_step = lambda batch: {**step(batch), "loss": torch.tensor(math.nan)}
    with pytest.raises(NonFiniteLossError, match="epoch 0: the term 'loss' is nan"):
        Trainer(config()).fit(system, points)


def test_a_refusal_in_the_first_epoch_is_the_callers_mistake(make_system, points):
    system = make_system()

    def refuse():
        raise InputError("too few columns")

    system.before_step = refuse
    with pytest.raises(InputError, match=r"^too few columns$"):
        Trainer(config()).fit(system, points)


def test_a_refusal_in_a_later_epoch_means_that_training_diverged(make_system, points):
    system, calls = make_system(), []

    def refuse():
        calls.append(1)
        if len(calls) == 2:
            raise InputError("z has a value that is not finite")

    system.before_step = refuse
    with pytest.raises(NonFiniteLossError, match="epoch 1: z has a value that is not finite; try a smaller lr"):
        Trainer(config()).fit(system, points)


def test_hooks_are_called_before_each_step_and_once_at_the_end(make_system, points):
    system, calls = make_system(), []
    system.before_step = lambda: calls.append("step")
    system.on_epoch_start = lambda epoch, data: calls.append(("start", epoch, data is points))
    system.on_fit_end = lambda data: calls.append(("end", data is points))
    Trainer(config(2)).fit(system, points)
    assert calls == [("start", 0, True), "step", ("start", 1, True), "step", ("end", True)]


def test_the_end_hook_is_called_when_an_observer_stops_the_run_too(make_system, points):
    system, calls = make_system(), []
    system.on_fit_end = lambda data: calls.append("end")
    Trainer(config(9), [Watch(answers={0: True})]).fit(system, points)
    assert calls == ["end"]


def test_steps_are_taken_in_training_mode_even_if_an_observer_leaves_evaluation_mode(make_system, points):
    system, modes = make_system(), []
    system.before_step = lambda: modes.append(system.training)

    class Evaluates:
        def on_epoch_end(self, epoch, terms):
            system.eval()

    Trainer(config(2), [Evaluates()]).fit(system, points)
    assert modes == [True, True]


def test_the_time_of_observers_is_not_counted_as_training(make_system, points, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("graphcl.training.trainer.time.perf_counter", lambda: now[0])
    system = make_system()
    system.before_step = lambda: now.__setitem__(0, now[0] + 1)

    class Slow:
        def on_epoch_end(self, epoch, terms):
            now[0] += 100

    assert Trainer(config(3), [Slow()]).fit(system, points).seconds == 3


def test_learning_rate_and_weight_decay_reach_the_optimiser(make_system):
    state = Trainer(TrainingConfig(epochs=1, lr=0.3, weight_decay=0.2)).start(make_system())
    assert state.epoch == 0
    assert state.history == []
    assert [(group["lr"], group["weight_decay"]) for group in state.optimizer.param_groups] == [(0.3, 0.2)]


def one_step(system, points, **settings):
    """The weights after one step of Adam with learning rate 1, whose first step is the sign of the gradient; and the terms."""
    torch.manual_seed(3)
    state = Trainer(TrainingConfig(epochs=1, lr=1.0, device="cpu", **settings)).fit(system, points)
    return state, [parameter.grad.clone() for parameter in system.parameters()]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_accumulated_gradients_and_terms_are_the_mean_over_as_many_calls(make_system, points, count):
    system, plain = make_system(), make_system()
    state, gradients = one_step(system, points, accumulate=count)
    torch.manual_seed(3)
    terms = [plain.training_step(points) for _ in range(count)]
    (sum(term["loss"] for term in terms) / count).backward()
    for gradient, parameter in zip(gradients, plain.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)
    assert len({float(term["fit"].detach()) for term in terms}) == count, "each call draws its own dropout"
    for name in ("loss", "fit", "size"):
        assert state.history[0][name] == pytest.approx(sum(float(term[name].detach()) for term in terms) / count)


def test_hooks_and_the_optimiser_have_one_turn_an_epoch_however_much_is_accumulated(make_system, points):
    system, calls = make_system(), []
    system.before_step = lambda: calls.append("call")
    system.on_epoch_start = lambda epoch, data: calls.append("start")
    state = Trainer(TrainingConfig(epochs=2, accumulate=3, device="cpu")).fit(system, points)
    assert calls == ["start", "call", "call", "call"] * 2
    assert {float(slot["step"]) for slot in state.optimizer.state.values()} == {2.0}


def test_a_bad_call_among_those_accumulated_leaves_the_weights_alone(make_system, points):
    system, calls = make_system(), []
    step, before = system.training_step, copy.deepcopy(system.state_dict())

    def spoilt(batch):
        calls.append(1)
        terms = step(batch)
        return {**terms, "loss": terms["loss"] * (math.nan if len(calls) == 3 else 1.0)}

    system.training_step = spoilt
    with pytest.raises(NonFiniteLossError, match="epoch 0: the term 'loss' is nan"):
        Trainer(TrainingConfig(epochs=5, accumulate=4, device="cpu")).fit(system, points)
    assert all(torch.equal(value, system.state_dict()[name]) for name, value in before.items())


def test_a_long_gradient_is_shortened_to_the_norm_and_a_short_one_is_left(make_system, points):
    _, free = one_step(make_system(), points)
    length = float(torch.cat([gradient.flatten() for gradient in free]).norm())
    _, clipped = one_step(make_system(), points, clip_norm=length / 4)
    for gradient, whole in zip(clipped, free, strict=True):
        torch.testing.assert_close(gradient, whole / 4, rtol=1e-4, atol=1e-7)
    _, untouched = one_step(make_system(), points, clip_norm=length * 4)
    assert all(torch.equal(a, b) for a, b in zip(untouched, free, strict=True))


def test_half_precision_computes_the_step_in_halves_and_keeps_the_weights_whole(make_system, points):
    system, seen = make_system(), []
    system.line.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    half, gradients = one_step(system, points, precision="bf16")
    assert seen == [torch.bfloat16]
    assert {parameter.dtype for parameter in system.parameters()} == {torch.float32}
    whole, want = one_step(make_system(), points)
    assert half.history[0]["fit"] != whole.history[0]["fit"]
    assert half.history[0]["fit"] == pytest.approx(whole.history[0]["fit"], rel=0.02)
    for gradient, wanted in zip(gradients, want, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0.05, atol=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_fp16_on_the_card_learns_and_scales_the_loss(make_system, points):
    system = make_system().cuda()
    state = Trainer(TrainingConfig(epochs=40, lr=0.05, device="cuda", precision="fp16", clip_norm=1.0)).fit(
        system, points.clone().cuda()
    )
    assert state.history[-1]["loss"] < state.history[0]["loss"]
    assert state.scaler.get_scale() > 1


def test_the_system_is_left_in_evaluation_mode_and_finishes_in_it(make_system, points):
    system, modes = make_system(), []
    system.on_fit_end = lambda data: modes.append(system.training)
    Trainer(config(2)).fit(system, points)
    assert modes == [False]
    assert not system.training


def test_observers_are_told_at_the_start_what_a_state_has_behind_it(make_system, points):
    heard = []

    class Ear:
        def on_fit_start(self, history):
            heard.append(len(history))

        def on_epoch_end(self, epoch, terms): ...

    system = make_system()
    state = Trainer(config(2), [Ear()]).fit(system, points)
    Trainer(config(5), [Ear()]).fit(system, points, state)
    assert heard == [0, 2]


class Pieces:
    """A graph's rows a few at a time, in an order of torch's own generator."""

    def __init__(self, points, size):
        self.points, self.size, self.epochs = points, size, []

    def batches(self, epoch):
        self.epochs.append(epoch)
        order = torch.randperm(len(self.points.x))
        for rows in order.split(self.size):
            yield Data(x=self.points.x[rows])


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 4), (2, 2), (3, 2), (9, 1)])
def test_every_batch_is_a_step_and_a_pass_over_them_an_epoch(make_system, points, accumulate, steps):
    system, calls, source = make_system(), [], Pieces(points, 3)
    system.on_epoch_start = lambda epoch, data: calls.append((epoch, data))
    state = Trainer(TrainingConfig(epochs=2, accumulate=accumulate, device="cpu")).fit(system, source)
    assert source.epochs == [0, 1]
    assert calls == [(0, source), (1, source)]
    assert {float(slot["step"]) for slot in state.optimizer.state.values()} == {2.0 * steps}


@pytest.mark.parametrize(("source", "seconds", "trims"), [("batches", 0, 12), ("batches", 60, 0), ("graph", 0, 0)])
def test_the_heap_is_trimmed_now_and_then_between_batches(make_system, points, monkeypatch, source, seconds, trims):
    """Batches differ in size and leave holes; a graph comes to the same sizes every epoch."""
    calls = []
    monkeypatch.setattr(heap, "trim", lambda: calls.append(1))
    monkeypatch.setattr(heap, "SECONDS", seconds)
    Trainer(config(3)).fit(make_system(), Pieces(points, 3) if source == "batches" else points)
    assert len(calls) == trims


def test_the_terms_of_an_epoch_of_batches_are_their_mean(make_system, points):
    system, seen = make_system(), []
    step = system.training_step

    def watched(batch):
        seen.append(step(batch))
        return seen[-1]

    system.training_step = watched
    state = Trainer(TrainingConfig(epochs=1, device="cpu")).fit(system, Pieces(points, 4))
    assert len(seen) == 3
    assert state.history[0]["fit"] == pytest.approx(sum(float(terms["fit"]) for terms in seen) / 3)


def test_a_run_on_batches_goes_on_as_if_it_had_not_stopped(make_system, points):
    whole, halves = make_system(), make_system()
    torch.manual_seed(3)
    Trainer(config(4)).fit(whole, Pieces(points, 3))
    torch.manual_seed(3)
    state = Trainer(config(2)).fit(halves, Pieces(points, 3))
    Trainer(config(4)).fit(halves, Pieces(points, 3), state)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, halves.state_dict()[name]), name


def test_a_source_without_a_batch_is_refused(make_system, points):
    source = Pieces(points, 3)
    source.batches = lambda epoch: iter(())
    with pytest.raises(InputError, match="no batch"):
        Trainer(config(1)).fit(make_system(), source)


class Follower(Watch):
    """Notes the calls within an epoch as well."""

    def on_call_end(self, epoch, calls, expected):
        self.log.append((epoch, calls, expected))


def followed(make_system, source, accumulate):
    watch = Follower()
    Trainer(TrainingConfig(epochs=2, accumulate=accumulate, device="cpu"), [Watch(), watch]).fit(make_system(), source)
    ends = [at for at, entry in enumerate(watch.log) if entry[0] == ""]
    assert len(ends) == 2
    assert ends[-1] == len(watch.log) - 1, "an epoch ends after its calls"
    return [entry for entry in watch.log if entry[0] != ""]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_an_observer_that_asks_for_it_follows_the_calls_of_an_epoch(make_system, points, accumulate):
    graph = followed(make_system, points, accumulate)
    assert graph == [(epoch, call + 1, accumulate) for epoch in range(2) for call in range(accumulate)]
    batches = [(epoch, call + 1) for epoch in range(2) for call in range(4)]
    for source, expected in ((Pieces(points, 3), 0), (Counted(points, 3), 4), (Stepped(points, 3), 4)):
        assert followed(make_system, source, accumulate) == [(*call, expected) for call in batches]
    ring = torch.arange(11)
    graph = Data(x=points.x, edge_index=torch.stack([ring, ring.roll(1)]))
    assert followed(make_system, NodeBatches(graph, 3), accumulate) == [(*call, 4) for call in batches]


class Rates:
    """Notes the learning rate of every step of an optimiser."""

    def __init__(self, state):
        self.seen = []
        state.optimizer.register_step_pre_hook(lambda optimizer, *_: self.seen.append(optimizer.param_groups[0]["lr"]))


def rates(make_system, source, **settings):
    trainer, system = Trainer(TrainingConfig(lr=0.5, device="cpu", **settings)), make_system()
    state = trainer.start(system)
    watch = Rates(state)
    trainer.fit(system, source, state)
    return watch.seen


def test_without_a_schedule_the_rate_is_never_touched(make_system, points):
    system, trainer = make_system(), Trainer(config(3))
    state = trainer.start(system)
    state.optimizer.param_groups[0]["lr"] = 0.0123
    trainer.fit(system, points, state)
    assert state.optimizer.param_groups[0]["lr"] == 0.0123


def test_on_a_graph_the_rate_warms_up_and_falls_by_epoch(make_system, points):
    seen = rates(make_system, points, epochs=6, warmup_epochs=2, schedule="cosine")
    want = [0, 0.25, *(0.25 * (1 + math.cos(math.pi * at / 4)) for at in range(4))]
    assert seen == pytest.approx(want, abs=1e-15)


def test_a_first_step_of_rate_zero_leaves_the_weights(make_system, points):
    system, before = make_system(), make_system().state_dict()
    Trainer(TrainingConfig(epochs=1, warmup_epochs=3, weight_decay=0.1, optimizer="adamw", device="cpu")).fit(system, points)
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())


class Counted(Pieces):
    """The same, saying how many."""

    def __len__(self):
        return -(-len(self.points.x) // self.size)


class Stepped(Pieces):
    @property
    def steps(self):
        return -(-len(self.points.x) // self.size)


@pytest.mark.parametrize("kind", [Counted, Stepped])
@pytest.mark.parametrize(("accumulate", "steps"), [(1, 4), (3, 2), (9, 1)])
def test_on_batches_that_say_how_many_they_are_the_rate_moves_with_every_step(make_system, points, kind, accumulate, steps):
    seen = rates(make_system, kind(points, 3), epochs=3, warmup_epochs=2, accumulate=accumulate)
    assert seen == pytest.approx([min(0.25 * at / steps, 0.5) for at in range(3 * steps)])


def test_on_batches_that_do_not_say_it_the_rate_moves_with_the_epoch(make_system, points):
    assert rates(make_system, Pieces(points, 3), epochs=3, warmup_epochs=2) == [0.0] * 4 + [0.25] * 4 + [0.5] * 4


def test_adamw_decays_the_weights_themselves_and_adam_their_gradient(make_system, points):
    shrunk, plain = make_system(), make_system()
    for system, decay in ((shrunk, 0.1), (plain, 0.0)):
        torch.manual_seed(3)
        Trainer(TrainingConfig(epochs=1, lr=0.5, weight_decay=decay, optimizer="adamw", device="cpu")).fit(system, points)
    start = make_system().state_dict()
    for name, value in shrunk.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name] - 0.5 * 0.1 * start[name])
    assert type(Trainer(config()).start(make_system()).optimizer) is torch.optim.Adam


@pytest.mark.parametrize("source", [lambda points: points, lambda points: Counted(points, 3)], ids=["graph", "batches"])
def test_a_scheduled_run_goes_on_from_its_state_on_disk_to_the_same_bits(make_system, points, tmp_path, source):
    """The optimiser's own rate comes back from the checkpoint, and has no say."""
    settings = {"epochs": 8, "warmup_epochs": 3, "schedule": "cosine", "optimizer": "adamw", "weight_decay": 0.1, "lr": 0.1}
    trainer = Trainer(TrainingConfig(device="cpu", **settings))

    whole = make_system()
    torch.manual_seed(3)
    want = trainer.fit(whole, source(points))
    for after in (1, 2, 5):
        halves, path = make_system(), tmp_path / f"{after}.pt"
        torch.manual_seed(3)
        state = trainer.start(halves)
        with pytest.raises(Killed):
            Trainer(trainer.config, [Dies(after)]).fit(halves, source(points), state)
        state.history.append({"epoch": after, **want.history[after]})
        state.epoch += 1
        torch.save((halves.state_dict(), state.state_dict(), torch.get_rng_state()), path)
        weights, memory, drawn = torch.load(path, weights_only=False)
        again = make_system()
        again.load_state_dict(weights)
        fresh = trainer.start(again)
        fresh.load_state_dict(memory)
        torch.set_rng_state(drawn)
        assert trainer.fit(again, source(points), fresh).history == want.history
        for name, value in whole.state_dict().items():
            assert torch.equal(value, again.state_dict()[name]), name
