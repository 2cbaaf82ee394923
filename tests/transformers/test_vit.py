"""The Vision Transformer against torchvision's and the study's, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlbook_utils.foundations.mlp import count_parameters
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.runner import models as study
from dlbook_utils.transformers.vit import (
    ViT,
    attention_distance,
    attention_maps,
    image_of,
    patches_of,
    rollout,
)
from tests import random_weights
from tests.random_weights import assert_same, draw


def shake(module):
    """Random values everywhere, and the eps of all the references."""
    for m in module.modules():
        if isinstance(m, nn.LayerNorm):
            m.eps = 1e-6
    return random_weights.shake(module, 0.3)


def fused(block):
    """Queries', keys' and values' weights and biases of a block as one matrix and one vector."""
    maps = block.attend.query, block.attend.key, block.attend.value
    return torch.cat([m.weight for m in maps]), torch.cat([m.bias for m in maps])


def small(**options):
    return shake(ViT(8, 4, 12, 3, 20, 2, **options))


@pytest.mark.parametrize("P", [1, 2, 3, 6])
def test_patches_are_what_a_strided_convolution_sees(P):
    x, kernels = draw(2, 3, 6, 12), draw(5, 3, P, P, seed=1)
    ours = patches_of(x, P) @ kernels.flatten(1).T
    theirs = F.conv2d(x, kernels, stride=P).flatten(2).mT
    assert_same(ours, theirs, [x, kernels])


def test_patches_come_row_by_row_and_can_be_put_together():
    x = torch.arange(2 * 3 * 36).view(2, 3, 6, 6)
    patches = patches_of(x, 2)
    assert patches.shape == (2, 9, 12)
    assert torch.equal(patches[1, 5], x[1, :, 2:4, 4:6].flatten())
    assert torch.equal(image_of(patches, 2), x)


def test_patches_must_tile():
    with pytest.raises(ValueError, match="patches of 4 do not tile 8 by 6"):
        patches_of(torch.zeros(1, 1, 8, 6), 4)
    with pytest.raises(ValueError, match="P=3 should tile side=8"):
        ViT(8, 3, 12, 3, 20, 2)
    with pytest.raises(ValueError, match="'max'"):
        ViT(8, 4, 12, 3, 20, 2, pool="max")


def test_it_is_torchvisions():
    from torchvision.models.vision_transformer import VisionTransformer

    ours = small()
    theirs = VisionTransformer(8, 4, 2, 3, 12, 20, num_classes=10).double()
    with torch.no_grad():
        theirs.conv_proj.weight.copy_(ours.embed.weight.view(12, 3, 4, 4))
        theirs.conv_proj.bias.copy_(ours.embed.bias)
        theirs.class_token.copy_(ours.token)
        theirs.encoder.pos_embedding.copy_(ours.places)
        for mine, other in zip(ours.blocks, theirs.encoder.layers, strict=True):
            weight, bias = fused(mine)
            other.self_attention.in_proj_weight.copy_(weight)
            other.self_attention.in_proj_bias.copy_(bias)
            other.self_attention.out_proj.load_state_dict(mine.attend.out.state_dict())
            other.ln_1.load_state_dict(mine.add1.norm.state_dict())
            other.ln_2.load_state_dict(mine.add2.norm.state_dict())
            other.mlp[0].load_state_dict(mine.feed.up.state_dict())
            other.mlp[3].load_state_dict(mine.feed.down.state_dict())
    theirs.encoder.ln.load_state_dict(ours.norm.state_dict())
    theirs.heads.head.load_state_dict(ours.head.state_dict())
    x = draw(3, 3, 8, 8)
    a, b = ours(x), theirs(x)
    assert_same(a, b, [x])
    a.pow(2).sum().backward()
    b.pow(2).sum().backward()
    assert torch.allclose(ours.places.grad, theirs.encoder.pos_embedding.grad[0])
    assert torch.allclose(ours.token.grad, theirs.class_token.grad[0])
    assert torch.allclose(ours.embed.weight.grad, theirs.conv_proj.weight.grad.flatten(1))
    assert count_parameters(ours) == count_parameters(theirs)


@pytest.mark.parametrize("side", [8, 16])
def test_it_is_the_studys(side):
    """The study's network is another text of the same function; it may enlarge its images."""
    ours = shake(ViT(side, 4, 12, 3, 48, 2))
    theirs = study.ViT(4, 12, 3, 2, side).double()
    with torch.no_grad():
        theirs.patches.weight.copy_(ours.embed.weight.view(12, 3, 4, 4))
        theirs.patches.bias.copy_(ours.embed.bias)
        theirs.token.copy_(ours.token)
        theirs.places.copy_(ours.places)
        for mine, other in zip(ours.blocks, theirs.blocks, strict=True):
            weight, bias = fused(mine)
            other.qkv.weight.copy_(weight)
            other.qkv.bias.copy_(bias)
            other.out.load_state_dict(mine.attend.out.state_dict())
            other.norm1.load_state_dict(mine.add1.norm.state_dict())
            other.norm2.load_state_dict(mine.add2.norm.state_dict())
            other.up.load_state_dict(mine.feed.up.state_dict())
            other.down.load_state_dict(mine.feed.down.state_dict())
    theirs.norm.load_state_dict(ours.norm.state_dict())
    theirs.head.load_state_dict(ours.head.state_dict())
    x = draw(3, 3, 8, 8)
    wide = F.interpolate(x, size=(side, side), mode="bilinear") if side != 8 else x
    assert_same(ours(wide), theirs(x), [x])
    assert count_parameters(ours) == count_parameters(theirs)


@pytest.mark.parametrize("name", ["vit-ti-p16", "vit-s-p4", "vit-b-p16-224"])
def test_the_studys_sizes_have_as_many_parameters(name):
    with torch.device("meta"):
        theirs = study.build(name)
        width = theirs.head.in_features
        P = theirs.patches.kernel_size[0]
        ours = ViT(theirs.side, P, width, theirs.blocks[0].heads, 4 * width, 12)
    assert count_parameters(ours) == count_parameters(theirs)


@pytest.mark.parametrize("pool", ["class", "mean"])
@pytest.mark.parametrize("places", [True, False])
def test_without_places_an_image_is_a_bag_of_patches(pool, places):
    model, x = small(pool=pool), draw(2, 3, 8, 8)
    if not places:
        model.places.data.zero_()
    shuffled = image_of(patches_of(x, 4)[:, [2, 0, 3, 1]], 4)
    assert torch.allclose(model(shuffled), model(x)) == (not places)


def test_places_that_are_left_out_stay_out():
    model = ViT(8, 4, 12, 3, 20, 2, places=False)
    assert not model.places.requires_grad
    assert (model.places == 0).all()
    assert count_parameters(ViT(8, 4, 12, 3, 20, 2)) == count_parameters(model) + 5 * 12


@pytest.mark.parametrize("pool", ["class", "mean"])
def test_every_parameter_is_used_and_examples_are_apart(pool):
    seed_everything(0)
    model, x = ViT(8, 4, 12, 3, 20, 2, channels=1, pool=pool).double(), draw(3, 1, 8, 8)
    scores = model(x)
    assert torch.allclose(model(x[:1]), scores[:1])
    scores.pow(2).sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        if name != "token" or pool == "class":
            assert p.grad.abs().sum() > 0, name


def test_maps_are_those_of_the_forward_pass():
    model, x = small(), draw(2, 3, 8, 8)
    maps = attention_maps(model, x)
    assert [tuple(m.shape) for m in maps] == [(2, 3, 5, 5)] * 2
    seen = []
    hook = model.blocks[1].attend.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(x)
    hook.remove()
    assert torch.allclose(model.blocks[1].attend.look(seen[0])[1], maps[1])


def test_distances_of_heads_that_we_know():
    still, even = torch.eye(9), torch.full((9, 9), 0.1)
    right = torch.eye(9).roll(1, 1)  # one to the right, or to the beginning of the next row
    weights = torch.stack([still, even, right])[None]
    at = torch.tensor([(i, j) for i in range(3) for j in range(3)]) * 4.0
    mean = torch.cdist(at, at).mean()
    jump, back = (4**2 + 8**2) ** 0.5, 8 * 2**0.5
    wanted = torch.stack([torch.tensor(0.0), mean, torch.tensor((6 * 4 + 2 * jump + back) / 9)])
    assert torch.allclose(attention_distance(weights, 4), wanted)


def test_rollout_by_paths():
    """The share of token s in token t is the sum over all paths of the product of the weights."""
    maps = [torch.rand(1, 2, 3, 3, generator=generator(k)).softmax(-1) for k in range(2)]
    first, second = ((m.mean(1)[0] + torch.eye(3)) / 2 for m in maps)
    by_paths = [
        [sum(second[t, u] * first[u, s] for u in range(3)) for s in range(3)] for t in range(3)
    ]
    shares = rollout(maps)
    assert torch.allclose(shares[0], torch.tensor(by_paths))
    assert torch.allclose(shares.sum(-1), torch.ones(1, 3))
