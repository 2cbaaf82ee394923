"""Language models: tokenisers, GPT against PyTorch, and writing with and without a cache."""

import pytest
import torch
from torch import nn

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.sequences.rnn import sequence_loss
from dlbook_utils.transformers.language_models import (
    BPE,
    GPT,
    PIECES,
    Characters,
    adamw_for,
    draw_blocks,
    generate,
    learn_merges,
    merge,
    next_probabilities,
    read_on,
    token_losses,
    train_language_model,
)
from dlbook_utils.transformers.transformer import causal_mask

TEXT = "the theatre, then the thing: they thought that this was the end. " * 3


def shaken(**settings):
    seed_everything(3)
    model = GPT(11, 8, d=12, heads=3, depth=2, **settings).double()
    for p in model.parameters():
        nn.init.normal_(p, std=0.5)
    return model


def ids(*shape, seed=0):
    return torch.randint(11, shape, generator=generator(seed))


def as_pytorch(ours):
    layer = nn.TransformerEncoderLayer(
        12, 3, 48, 0.0, "gelu", batch_first=True, norm_first=True, bias=False
    )
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(12, bias=False), False).double()
    with torch.no_grad():
        for mine, its in zip(ours.blocks, stack.layers, strict=True):
            a = mine.attend
            rows = torch.cat([a.query.weight, a.key.weight, a.value.weight])
            its.self_attn.in_proj_weight.copy_(rows)
            its.self_attn.out_proj.weight.copy_(a.out.weight)
            its.linear1.weight.copy_(mine.feed.up.weight)
            its.linear2.weight.copy_(mine.feed.down.weight)
            its.norm1.weight.copy_(mine.add1.norm.weight)
            its.norm2.weight.copy_(mine.add2.norm.weight)
        stack.norm.weight.copy_(ours.norm.weight)
    return stack


@pytest.mark.parametrize("causal", [True, False])
def test_gpt_equals_pytorch_forward_and_backward(causal):
    ours = shaken(causal=causal)
    theirs = as_pytorch(ours)
    x = ids(4, 8)
    scores = ours(x)
    mask = ~causal_mask(8) if causal else None
    embedded = ours.table(x) + ours.places.weight
    wanted = theirs(embedded, mask=mask) @ ours.table.weight.T
    torch.testing.assert_close(scores, wanted)
    weights = torch.randn(scores.shape, generator=generator(1)).double()
    both = [ours.table.weight, ours.places.weight]
    grads = torch.autograd.grad((scores * weights).sum(), both, retain_graph=True)
    grads_theirs = torch.autograd.grad((wanted * weights).sum(), both, retain_graph=True)
    torch.testing.assert_close(grads, grads_theirs)
    (scores * weights).sum().backward()
    (wanted * weights).sum().backward()
    for mine, its in zip(ours.blocks, theirs.layers, strict=True):
        torch.testing.assert_close(mine.feed.up.weight.grad, its.linear1.weight.grad)
        torch.testing.assert_close(mine.add2.norm.weight.grad, its.norm2.weight.grad)


def test_later_tokens_change_no_earlier_score_unless_the_model_reads_both_sides():
    x = ids(1, 8)
    other = x.clone()
    other[0, 5] = (x[0, 5] + 1) % 11
    for causal in (True, False):
        model = shaken(causal=causal)
        changed = (model(x) != model(other)).any(-1)[0]
        assert changed[5:].all()
        assert changed[:5].any() != causal


def test_gpt_starts_small_without_biases_and_refuses_longer_texts():
    seed_everything(0)
    model = GPT(65, 64, 128, 4, 4)
    assert not [name for name, _ in model.named_parameters() if name.endswith("bias")]
    assert sum(p.numel() for p in model.parameters()) == 804_096  # nanoGPT's 0.80 M
    assert abs(model.table.weight.std() - 0.02) < 0.001
    assert abs(model.blocks[0].feed.down.weight.std() - 0.02 / 8**0.5) < 0.0003
    with pytest.raises(ValueError, match="at most 64"):
        model(torch.zeros(1, 65, dtype=torch.int64))


def test_characters():
    tokens = Characters("abc")
    assert len(tokens) == 3
    assert tokens.encode("cab") == [2, 0, 1]
    assert tokens.decode([2, 0, 1]) == "cab"
    with pytest.raises(KeyError):
        tokens.encode("d")


@pytest.mark.parametrize(
    ("row", "merged"), [([1, 1, 1], [9, 1]), ([1, 1, 1, 1], [9, 9]), ([2, 1], [2, 1]), ([], [])]
)
def test_merge_goes_from_the_left(row, merged):
    assert merge(row, (1, 1), 9) == merged


def test_merges_are_those_of_the_plain_algorithm():
    from collections import Counter
    from itertools import pairwise

    words, merges = [list(w.encode()) for w in PIECES.findall(TEXT)], []
    for new in range(256, 296):
        pairs = Counter(p for word in words for p in pairwise(word))
        if not pairs:
            break
        merges.append(max(pairs, key=lambda p: (pairs[p], p)))
        words = [merge(word, merges[-1], new) for word in words]
    assert learn_merges(TEXT, 40) == merges
    assert BPE(merges).encode(TEXT) == [k for word in words for k in word]


def test_learning_stops_when_nothing_is_left_to_merge():
    assert len(learn_merges("ab", 10)) == 1
    assert learn_merges("", 10) == []


@pytest.mark.parametrize(
    "text", ["", "the then", "naïve", "日本", "🙂 x", " \t\n\n  a_b1²", "e\u0301\u200d", "\x00\x1c"]
)
def test_any_text_comes_back(text):
    for n in (0, 30):
        tokens = BPE(learn_merges(TEXT, n))
        assert tokens.decode(tokens.encode(text)) == text
    assert BPE([]).encode(text) == list(text.encode())


def test_bytes_that_are_no_text_are_shown_as_such():
    assert BPE([]).decode([0xFF]) == "\ufffd"


def test_blocks_are_followed_by_what_follows():
    x, y = draw_blocks(torch.arange(100), 20, 7, generator(0))
    assert x.shape == y.shape == (20, 7)
    assert (y == x + 1).all()


def test_every_token_but_the_first_is_judged_once():
    model, text = shaken(), ids(1, 45)[0]
    losses = token_losses(model, text, 8, n=2)
    assert losses.shape == (44,)
    by_hand = sequence_loss(model(text[None, 40:44]), text[None, 41:45])
    torch.testing.assert_close(losses[40:].mean(), by_hand)
    assert token_losses(model, text[:41], 8).shape == (40,)


def test_matrices_decay_and_gains_do_not():
    groups = adamw_for(shaken(), 1e-3).param_groups
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert all(p.ndim == 2 for p in groups[0]["params"])
    assert all(p.ndim == 1 for p in groups[1]["params"])


def test_training_learns_and_repeats():
    def trained():
        seed_everything(0)
        model = GPT(11, 8, 16, 2, 1, deviation=0.1)
        text = torch.arange(11).repeat(20)
        draw = lambda g: draw_blocks(text, 8, 8, g)  # noqa: E731
        return train_language_model(model, draw, 60, 1e-2, seed=1, warm=10)

    losses = trained()
    assert losses[-1] < 0.5 < losses[0]
    assert losses == trained()


def test_next_probabilities_by_hand():
    z = torch.tensor([0.15, 0.5, 0.1, 0.25]).log()
    thirds = torch.tensor([0, 2 / 3, 0, 1 / 3])
    torch.testing.assert_close(next_probabilities(z), z.exp())
    torch.testing.assert_close(next_probabilities(z, top_k=2), thirds)
    torch.testing.assert_close(next_probabilities(z, top_p=0.7), thirds)
    torch.testing.assert_close(next_probabilities(z, top_k=1), torch.tensor([0.0, 1, 0, 0]))
    torch.testing.assert_close(next_probabilities(z, top_p=1e-6), torch.tensor([0.0, 1, 0, 0]))
    squares = torch.tensor([2.25, 25, 1, 6.25]) / 34.5
    torch.testing.assert_close(next_probabilities(z, 0.5), squares)
    assert next_probabilities(torch.randn(2, 3, 5), top_k=2).shape == (2, 3, 5)
    for wrong in ({"temperature": 0.0}, {"top_p": 0.0}, {"top_k": 0}):
        with pytest.raises(ValueError, match="positive"):
            next_probabilities(z, **wrong)


def test_reading_in_portions_is_reading():
    model, x = shaken(), ids(2, 8)
    whole, past = read_on(model, x)
    torch.testing.assert_close(whole, model(x))
    assert len(past) == 2
    assert past[0][0].shape == (2, 3, 8, 4)
    parts, past = [], None
    for chunk in x.split([3, 1, 4], dim=1):
        scores, past = read_on(model, chunk, past)
        parts.append(scores)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


@pytest.mark.parametrize("start", [1, 8, 13])
def test_the_cache_changes_nothing_even_past_the_blocks_end(start):
    model, x = shaken(), ids(3, start)
    texts = [
        generate(model, x, 30, generator(4), 0.8, top_k=6, cached=cached)
        for cached in (True, False)
    ]
    assert texts[0].shape == (3, start + 30)
    assert (texts[0][:, :start] == x).all()
    assert (texts[0] == texts[1]).all()


def test_greedy_takes_the_best():
    model, x = shaken(), ids(2, 3)
    out = generate(model, x, 1, generator(0), top_k=1)
    assert (out[:, -1] == model(x)[:, -1].argmax(-1)).all()
