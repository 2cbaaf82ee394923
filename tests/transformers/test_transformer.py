"""The Transformer's parts against PyTorch's, forward and backward, from random weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.transformers.transformer import (
    PAD,
    DecoderBlock,
    EncoderBlock,
    FeedForward,
    MultiHeadAttention,
    TokenEmbedding,
    Transformer,
    attention,
    causal_mask,
    sinusoids,
)
from tests.random_weights import assert_same, draw, shake


def copy_attention(ours, theirs):
    maps = ours.query, ours.key, ours.value
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([m.weight for m in maps]))
        theirs.in_proj_bias.copy_(torch.cat([m.bias for m in maps]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())


def copy_feed(ours, theirs):
    theirs.linear1.load_state_dict(ours.feed.up.state_dict())
    theirs.linear2.load_state_dict(ours.feed.down.state_dict())


def gradients(output, inputs):
    g = torch.randn(output.shape, generator=generator(3), dtype=output.dtype)
    found = torch.autograd.grad((output * g).sum(), inputs, retain_graph=True)
    assert all(f.abs().sum() > 0 for f in found)
    return found


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_pytorch(masked):
    Q, K, V = draw(2, 3, 5, 4), draw(2, 3, 7, 4, seed=1), draw(2, 3, 7, 6, seed=2)
    mask = torch.rand(2, 1, 5, 7, generator=generator(4)) < 0.6
    mask[..., 0] = True
    mask = mask if masked else None
    ours, weights = attention(Q, K, V, mask)
    assert_same(ours, F.scaled_dot_product_attention(Q, K, V, mask), [Q, K, V])
    assert torch.allclose(weights.sum(-1), torch.ones(2, 3, 5, dtype=torch.float64))
    if masked:
        assert (weights[~mask.expand_as(weights)] == 0).all()


def test_a_query_without_keys_is_refused():
    x = draw(1, 3, 2)
    mask = causal_mask(3)
    assert torch.isfinite(attention(x, x, x, mask)[0]).all()
    mask[1] = False
    with pytest.raises(ValueError, match="one has none"):
        attention(x, x, x, mask)


@pytest.mark.parametrize("own", [True, False])
def test_heads_equal_pytorch(own):
    ours = shake(MultiHeadAttention(12, 3))
    theirs = nn.MultiheadAttention(12, 3, batch_first=True).double()
    copy_attention(ours, theirs)
    x = draw(2, 5, 12)
    memory = x if own else draw(2, 7, 12, seed=1)
    mask = causal_mask(5) if own else torch.arange(7) < 4
    wanted, weights = theirs(
        x,
        memory,
        memory,
        attn_mask=~mask.expand(5, memory.shape[1]),
        average_attn_weights=False,
    )
    out, looked = ours.look(x, None if own else memory, mask)
    assert torch.equal(out, ours(x, memory, mask))
    assert torch.allclose(looked, weights)
    assert_same(out, wanted, [x] if own else [x, memory])
    out.pow(2).sum().backward()
    wanted.pow(2).sum().backward()
    rows = [m.weight.grad for m in (ours.query, ours.key, ours.value)]
    assert torch.allclose(torch.cat(rows), theirs.in_proj_weight.grad)
    assert torch.allclose(ours.out.weight.grad, theirs.out_proj.weight.grad)


def test_heads_must_share_equally():
    with pytest.raises(ValueError, match="5 heads cannot share 12"):
        MultiHeadAttention(12, 5)


def test_keys_and_values_can_be_kept():
    ours, x = shake(MultiHeadAttention(8, 2)), draw(2, 6, 8)
    at_once = ours(x, mask=causal_mask(6))
    K, V = ours.keys_values(x[:, :0])
    for t in range(6):
        new = x[:, t : t + 1]
        k, v = ours.keys_values(new)
        K, V = torch.cat([K, k], 2), torch.cat([V, v], 2)
        assert torch.allclose(ours.mix(new, K, V)[0], at_once[:, t : t + 1])


@pytest.mark.parametrize("pre", [True, False])
@pytest.mark.parametrize("phi", [torch.relu, F.gelu])
@pytest.mark.parametrize("masked", [True, False])
def test_the_encoder_block_equals_pytorch(pre, phi, masked):
    ours = shake(EncoderBlock(12, 3, 20, phi, pre))
    theirs = nn.TransformerEncoderLayer(12, 3, 20, 0.0, phi, batch_first=True, norm_first=pre)
    theirs.double()
    copy_attention(ours.attend, theirs.self_attn)
    copy_feed(ours, theirs)
    theirs.norm1.load_state_dict(ours.add1.norm.state_dict())
    theirs.norm2.load_state_dict(ours.add2.norm.state_dict())
    x, mask = draw(2, 5, 12), causal_mask(5) if masked else None
    wanted = theirs(x, src_mask=~mask if masked else None)
    assert_same(ours(x, mask), wanted, [x])


@pytest.mark.parametrize("pre", [True, False])
def test_the_decoder_block_equals_pytorch(pre):
    ours = shake(DecoderBlock(12, 3, 20, F.gelu, pre))
    theirs = nn.TransformerDecoderLayer(12, 3, 20, 0.0, F.gelu, batch_first=True, norm_first=pre)
    theirs.double()
    copy_attention(ours.attend, theirs.self_attn)
    copy_attention(ours.cross, theirs.multihead_attn)
    copy_feed(ours, theirs)
    for k in (1, 2, 3):
        norm = getattr(ours, f"add{k}").norm
        getattr(theirs, f"norm{k}").load_state_dict(norm.state_dict())
    x, memory = draw(2, 5, 12), draw(2, 7, 12, seed=1)
    there = torch.arange(7) < torch.tensor([[7], [4]])
    wanted = theirs(x, memory, ~causal_mask(5), memory_key_padding_mask=~there)
    assert_same(ours(x, memory, there[:, None, None]), wanted, [x, memory])


def test_feed_forward_treats_each_place_alike():
    ours, x = shake(FeedForward(4, 9, F.gelu)), draw(2, 5, 4)
    by_one = torch.stack([ours(x[:, t]) for t in range(5)], 1)
    assert torch.allclose(ours(x), by_one)


def test_sinusoids_are_those_of_the_paper():
    P = sinusoids(50, 16)
    assert P.shape == (50, 16)
    for place, i in ((0, 0), (3, 1), (49, 7)):
        angle = torch.tensor(place / 10_000 ** (2 * i / 16))
        assert torch.allclose(P[place, 2 * i], angle.sin(), atol=1e-5)
        assert torch.allclose(P[place, 2 * i + 1], angle.cos(), atol=1e-5)
    with pytest.raises(ValueError, match="d = 7"):
        sinusoids(3, 7)


def test_an_embedding_adds_the_places():
    embed = TokenEmbedding(9, 16)
    ids = torch.tensor([[3, 1, 3]])
    assert torch.allclose(embed(ids), embed.table(ids) + sinusoids(3, 16))
    bare = TokenEmbedding(9, 16, torch.zeros)
    assert torch.equal(bare(ids)[0, 0], bare(ids)[0, 2])


@pytest.fixture
def translator():
    seed_everything(1)
    return Transformer(9, 11, 16, 2, 24).double().eval()


def test_padding_changes_nothing(translator):
    g = generator(2)
    source = torch.randint(1, 9, (3, 6), generator=g)
    target = torch.randint(0, 11, (3, 5), generator=g)
    longer = F.pad(source, (0, 4), value=PAD)
    scores = translator(source, target)
    assert scores.shape == (3, 5, 11)
    assert torch.allclose(translator(longer, target), scores)
    assert torch.allclose(translator(source, F.pad(target, (0, 2)))[:, :5], scores)


def test_no_score_sees_the_future(translator):
    g = generator(2)
    source = torch.randint(1, 9, (1, 6), generator=g)
    target = torch.randint(0, 11, (1, 5), generator=g)
    scores = translator(source, target)
    other = target.clone()
    other[0, 3] = (other[0, 3] + 1) % 11
    changed = (translator(source, other) != scores).any(-1)[0]
    assert changed.tolist() == [False, False, False, True, True]


def test_without_places_the_source_is_a_bag():
    seed_everything(1)
    bag = Transformer(9, 11, 16, 2, 24, places=torch.zeros).double().eval()
    source = torch.tensor([[1, 2, 3, 4]])
    target = torch.tensor([[0, 5]])
    assert torch.allclose(bag(source, target), bag(source.flip(1), target))


@pytest.mark.parametrize("pre", [True, False])
def test_every_parameter_is_used(pre):
    seed_everything(0)
    model = Transformer(9, 11, 16, 2, 24, pre=pre)
    source, target = torch.arange(1, 7).view(2, 3), torch.arange(8).view(2, 4)
    model(source, target).pow(2).mean().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
