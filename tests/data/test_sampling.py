from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from medmtl.data.sampling import ViewStream


def indices(stream, number):
    return [index for index, _ in stream.batch(number)]


@given(
    count=st.integers(1, 40),
    size=st.integers(1, 9),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 10),
    epoch=st.integers(0, 3),
)
def test_every_sample_is_shown_once_an_epoch_where_all_are_labelled(count, size, repeats, seed, epoch):
    stream = ViewStream({"a": [True] * count}, size, {"a": 1}, seed=seed, view="v", repeats=repeats)
    per_epoch = stream.batches_per_epoch
    assert per_epoch == -(-count * repeats // size)
    shown = [index for number in range(per_epoch) for index in indices(stream, epoch * per_epoch + number)]
    assert len(shown) == per_epoch * size
    counts = np.bincount(shown[: count * repeats], minlength=count)
    assert (counts == repeats).all()


@given(st.data())
@settings(max_examples=60)
def test_quotas_keep_every_task_present(data):
    tasks = data.draw(st.integers(1, 3))
    count = data.draw(st.integers(8, 30))
    flags = {f"t{t}": data.draw(st.lists(st.booleans(), min_size=count, max_size=count)) for t in range(tasks)}
    for task, values in flags.items():  # at least two labelled samples each
        values[int(task[1])] = values[5] = True
    quotas = {task: data.draw(st.integers(0, 2)) for task in flags}
    stream = ViewStream(flags, 6, quotas, seed=data.draw(st.integers(0, 99)), view="v")
    for number in range(2 * stream.batches_per_epoch):
        chosen = indices(stream, number)
        assert len(chosen) == 6
        for task, quota in quotas.items():
            assert sum(flags[task][index] for index in chosen) >= quota


@given(seed=st.integers(0, 2**40), number=st.integers(0, 500))
@settings(max_examples=50)
def test_a_batch_is_a_pure_function_of_seed_and_number(seed, number):
    def make():
        return ViewStream({"a": [index % 7 == 0 for index in range(20)]}, 4, {"a": 1}, seed=seed, view="v")

    used = make()
    for other in (3, 40, 0):
        used.batch(other)
    assert used.batch(number) == make().batch(number)


def test_views_and_seeds_have_their_own_order_and_transforms():
    def batch(seed, view):
        return ViewStream({"a": [True] * 50}, 10, {"a": 1}, seed=seed, view=view).batch(0)

    assert batch(0, "v") != batch(1, "v")
    assert batch(0, "v") != batch(0, "w")
    seeds = [seed for _, seed in batch(0, "v")]
    assert len(set(seeds)) == len(seeds)


def test_a_rare_task_is_shown_in_every_batch_and_no_sample_is_forgotten():
    rare = [index == 0 for index in range(40)]
    stream = ViewStream({"common": [True] * 40, "rare": rare}, 4, {"common": 1, "rare": 1}, seed=0, view="v")
    shown = [indices(stream, number) for number in range(20 * stream.batches_per_epoch)]
    assert all(0 in batch for batch in shown)
    counts = np.bincount(np.concatenate(shown), minlength=40)
    assert counts.min() > 5
