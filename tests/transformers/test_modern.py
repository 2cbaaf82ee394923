"""Today's block against PyTorch, and what is exact in attention by tiles, experts and drafts."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlbook_utils.foundations.mlp import count_parameters
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.transformers.modern import (
    Experts,
    GroupedAttention,
    ModernGPT,
    SwiGLU,
    gpt_of_2017,
    modern_gpt,
    place_bias,
    rotate,
    speculate,
    tiled_attention,
    verify_draft,
)
from dlbook_utils.transformers.transformer import MultiHeadAttention, causal_mask
from tests.random_weights import assert_same


def f(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def test_rotation_is_a_product_of_complex_numbers():
    x = f(2, 3, 7, 6).requires_grad_()
    rates = 10_000.0 ** (-torch.arange(0, 6, 2, dtype=torch.float64) / 6)
    angles = torch.arange(4, 11)[:, None] * rates
    pairs = torch.view_as_complex(x.unflatten(-1, (3, 2)))
    turned = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)
    assert_same(rotate(x, start=4), turned, [x])


def test_scores_of_rotated_vectors_depend_on_distance_only():
    q, k = f(9, 8), f(9, 8, seed=1)
    here, there = (rotate(q, s) @ rotate(k, s).mT for s in (0, 1000))
    torch.testing.assert_close(here, there)
    assert not torch.allclose(here, rotate(q, 5) @ rotate(k, 0).mT)
    with pytest.raises(ValueError, match="s = 5"):
        rotate(f(4, 5))


def test_place_bias():
    bias = place_bias(5, window=2, slopes=torch.tensor([0.5, 0.0]))
    assert bias.shape == (2, 5, 5)
    assert bias[0, 3].tolist() == [-torch.inf, -torch.inf, -0.5, 0, -torch.inf]
    assert torch.equal(place_bias(5) == 0, causal_mask(5))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_attention_is_pytorchs(groups):
    seed_everything(1)
    ours = GroupedAttention(16, 4, groups).double()
    x = f(2, 6, 16).requires_grad_()
    Q, K, V = (
        m(x).unflatten(2, (-1, 4)).transpose(1, 2) for m in (ours.query, ours.key, ours.value)
    )
    mixed = F.scaled_dot_product_attention(rotate(Q), rotate(K), V, is_causal=True, enable_gqa=True)
    assert_same(ours(x), ours.out(mixed.transpose(1, 2).flatten(2)), [x, ours.key.weight])


def test_as_many_groups_as_heads_are_multi_head_attention():
    seed_everything(2)
    ours = GroupedAttention(12, 3, 3, nn.Identity()).double()
    heads = MultiHeadAttention(12, 3).double()
    for name in ("query", "key", "value", "out"):
        getattr(heads, name).weight.data.copy_(getattr(ours, name).weight)
        getattr(heads, name).bias.data.zero_()
    x = f(2, 5, 12).requires_grad_()
    assert_same(ours(x), heads(x, mask=causal_mask(5)), [x])
    for wrong in ((12, 3, 2), (12, 5, 5), (12, 3, 0)):
        with pytest.raises(ValueError, match="groups"):
            GroupedAttention(*wrong)


def test_a_window_reaches_further_with_each_block():
    seed_everything(3)
    model = modern_gpt(11, 16, 3, window=4).double()
    x = model.embed(torch.zeros(1, 20, dtype=torch.int64)).detach().requires_grad_()
    model.blocks(x)[0, 19].sum().backward()
    reached = x.grad[0].abs().sum(1) > 0
    assert reached.nonzero()[0].item() == 19 - 3 * 3


def test_swiglu_is_pytorchs_glu_with_another_gate():
    ours = SwiGLU(6, 10).double()
    x = f(4, 6).requires_grad_()
    gate, up = x @ ours.gate.weight.T, x @ ours.up.weight.T
    glu = F.glu(torch.cat([gate * up, gate], -1))  # gate * up * sigmoid(gate)
    assert_same(ours(x), glu @ ours.down.weight.T, [x, ours.gate.weight])


def test_rungs_have_as_many_parameters():
    rungs = [gpt_of_2017(65, 48, 3, pre=True), modern_gpt(65, 48, 3)]
    rungs += [modern_gpt(65, 48, 3, "sinusoids", gated=False), modern_gpt(65, 48, 3, groups=2)]
    assert {count_parameters(model) for model in rungs} == {86_400}
    assert count_parameters(gpt_of_2017(65, 48, 3)) == 86_400 - 48  # no last normalisation
    with pytest.raises(ValueError, match="learned"):
        modern_gpt(65, 48, 3, "learned")


@pytest.mark.parametrize("build", [gpt_of_2017, modern_gpt, partial(modern_gpt, places="alibi")])
def test_models_look_to_the_left_only(build):
    seed_everything(0)
    model = build(11, 16, 2)
    x = torch.randint(11, (1, 9), generator=generator(0))
    other = x.clone()
    other[0, 5] = (x[0, 5] + 1) % 11
    changed = (model(x) - model(other)).abs().amax(-1)[0] > 1e-6
    assert changed.tolist() == [False] * 5 + [True] * 4


def test_tables_are_tied_or_not():
    for tied, tables in ((True, 1), (False, 2)):
        model = ModernGPT(7, 4, [], nn.Identity(), tied=tied)
        assert count_parameters(model) == tables * 28


@pytest.mark.parametrize("size", [1, 4, 7, 10, 64])
def test_tiles_are_pytorchs_attention(size):
    inputs = [(3 * f(2, 3, 10, 4, seed=s)).requires_grad_() for s in range(3)]
    theirs = F.scaled_dot_product_attention(*inputs, is_causal=True)
    assert_same(tiled_attention(*inputs, size), theirs, inputs)


def test_tiles_do_not_overflow():
    Q = torch.full((4, 2), 1e3)
    assert tiled_attention(Q, Q, Q, 2).isfinite().all()


def experts(k, **settings):
    seed_everything(4)
    return Experts(6, 5, 4, k, **settings).double()


@pytest.mark.parametrize("k", [1, 2, 4])
def test_experts_are_a_weighted_sum_of_the_chosen(k):
    ours = experts(k)
    x = f(2, 7, 6).requires_grad_()
    z = ours.router(x)
    least = z.topk(k, -1).values[..., -1:]
    shares = z.masked_fill(z < least, -torch.inf).softmax(-1)  # all four are asked
    wanted = sum(shares[..., [e]] * expert(x) for e, expert in enumerate(ours.experts))
    weights = [x, ours.router.weight, ours.experts[0].up.weight]
    assert_same(ours(x), wanted, weights, may_vanish=k == 1)  # one share is 1, whatever the scores


def test_a_handicap_moves_choices_and_not_shares():
    ours = experts(2, balance=0.5)
    x = f(3, 40, 6)
    assert ours.eval()(x).shape == x.shape
    assert not ours.handicap.any()
    first = ours.load.clone()
    ours.train()
    for _ in range(60):
        ours(x)
        ours.balance *= 0.9
    assert abs(ours.load.sum().item() - 1) < 1e-9
    assert ours.load.std() < first.std() / 2
    with pytest.raises(ValueError, match="5"):
        Experts(6, 5, 4, 5)


def chi_square(counts, p):
    wanted = p * counts.sum()
    return (((counts - wanted) ** 2) / wanted).sum().item()


def test_what_is_verified_is_distributed_as_the_target():
    g = generator(5)
    p, q = f(3, 4).softmax(-1), f(2, 4, seed=1).softmax(-1)
    counts, plain = torch.zeros(4, 4), torch.zeros(4, 4)
    for _ in range(8000):
        drafts = q.multinomial(1, generator=g)[:, 0]
        stay = verify_draft(p, q, drafts, g)
        plain[drafts[0], drafts[1]] += 1
        while len(stay) < 2:  # as `speculate` goes on: here p does not look at the past
            stay = torch.cat([stay, p[1].multinomial(1, generator=g)])
        counts[stay[0], stay[1]] += 1
    pairs = p[0][:, None] * p[1]
    assert chi_square(counts, pairs) < 37.7  # 15 degrees of freedom: one in a thousand
    assert chi_square(plain, pairs) > 200  # and the test would notice


def test_speculation_writes_as_the_target_and_saves_passes():
    table, other = 1.5 * f(3, 3, seed=2), 1.5 * f(3, 3, seed=3)
    target, draft = (lambda ids, t=t: t[ids] for t in (table, other))
    P, counts, passes = table.softmax(-1), torch.zeros(3, 3, 3), 0
    g = generator(6)
    for _ in range(3000):
        ids, n = speculate(target, draft, torch.tensor([0]), 3, 2, g)
        counts[tuple(ids[1:])] += 1
        passes += n
    wanted = P[0][:, None, None] * P[:, :, None] * P[None]
    assert chi_square(counts, wanted) < 54.1  # 26 degrees of freedom: one in a thousand
    assert 3000 < passes < 9000
    same, n = speculate(target, target, torch.tensor([0]), 9, 2, g)
    assert len(same) == 10
    assert n == 3  # a perfect draft: three tokens a pass


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: rotate(torch.ones(2, 4), base=0.0), "base must be above 0, got 0.0"),
        (lambda: rotate(torch.ones(2, 4), base=-2.0), "base must be above 0, got -2.0"),
        (lambda: place_bias(2, slopes=torch.tensor([-1.0])), "slopes must lie in 0"),
        (lambda: place_bias(2, slopes=torch.tensor([torch.nan])), "slopes must lie in 0"),
        (lambda: SwiGLU(4, 0), "hidden must be 1 or more, got 0"),
        (lambda: Experts(4, 0, 3, 1), "hidden must be 1 or more, got 0"),
        (lambda: Experts(4, 4, 3, 1, torch.inf), "balance is 0 or more, got inf"),
        (lambda: verified(p=[1.5, -0.5]), "p must lie in 0"),
        (lambda: verified(q=[1.0, 0.0], draft=1), r"of \[1\] some have probability 0 in q"),
        (lambda: verify_draft(torch.ones(1, 1), torch.ones(0, 1), torch.zeros(0).long(),
                              generator(0)), "k must be 1 or more, got 0"),
    ],
)  # fmt: skip
def test_what_would_go_wrong_silently_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def verified(p=(0.5, 0.5), q=(0.5, 0.5), draft=0):
    """Verify one draft of two tokens."""
    return verify_draft(torch.tensor([p, (0.5, 0.5)]), torch.tensor([q]), torch.tensor([draft]),
                        generator(0))  # fmt: skip


def test_bytes_are_no_slopes():
    """A byte has no negative: -2 would be 254."""
    with pytest.raises(TypeError, match=r"slopes must be floats, not torch.uint8"):
        place_bias(3, slopes=torch.tensor([2], dtype=torch.uint8))
