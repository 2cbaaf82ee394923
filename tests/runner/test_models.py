"""The study's models against torchvision's, and what the recipe's parts promise."""

import pytest
import torch
import torchvision
from torch import nn

from dlbook_utils.runner import learner, models
from dlbook_utils.runner.settings import CHOICES, Setting


def numbers(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_resnet18_is_torchvisions():
    ours = models.ResNet18("7x7", classes=1000).eval()
    theirs = torchvision.models.resnet18().eval()
    assert numbers(ours) == numbers(theirs) == 11_689_512
    values = list(theirs.state_dict().items())
    names = {"conv1": "stem", "bn1": "norm", "fc": "head"}
    state = {}
    for name, value in values:
        first, *rest = name.split(".")
        if first.startswith("layer"):
            block = 2 * (int(first[-1]) - 1) + int(rest[0])
            inner = {"bn1": "norm1", "bn2": "norm2", "downsample": "past"}.get(rest[1], rest[1])
            state[".".join(["blocks", str(block), inner, *rest[2:]])] = value
        else:
            state[".".join([names[first], *rest])] = value
    ours.load_state_dict(state)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_the_small_stem_keeps_32_pixels():
    with torch.device("meta"):
        small, large = models.ResNet18("3x3").eval(), models.ResNet18("7x7").eval()
        x = torch.empty(1, 3, 32, 32)
        assert small.blocks(small.pool(small.stem(x))).shape == (1, 512, 4, 4)
        assert large.blocks(large.pool(large.stem(x))).shape == (1, 512, 1, 1)
    assert numbers(small) == 11_173_962  # the usual ResNet-18 for CIFAR-10
    with pytest.raises(ValueError, match="'5x5'"):
        models.ResNet18("5x5")


def test_vit_is_torchvisions():
    from torchvision.models.vision_transformer import VisionTransformer

    theirs = VisionTransformer(32, 16, 2, 2, 8, 32, num_classes=10).eval()
    ours = models.ViT(16, 8, 2, 2).eval()
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.5, generator=torch.Generator().manual_seed(p.numel()))
    names = {
        "conv_proj.": "patches.",
        "class_token": "token",
        "encoder.pos_embedding": "places",
        "encoder.layers.encoder_layer_": "blocks.",
        "self_attention.in_proj_": "qkv.",
        "self_attention.out_proj": "out",
        "mlp.0": "up",
        "mlp.3": "down",
        "ln_": "norm",
        "encoder.ln": "norm",
        "heads.head": "head",
    }
    state = {}
    for name, value in theirs.state_dict().items():
        for old, new in names.items():
            name = name.replace(old, new)
        state[name] = value
    ours.load_state_dict(state)
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_the_base_vit_has_the_published_size():
    with torch.device("meta"):
        assert numbers(models.ViT(16, 768, 12, side=224, classes=1000)) == 86_567_656
    assert models.build("vit-s-p4").places.shape == (1, 65, 384)
    with pytest.raises(ValueError, match="must tile 32"):
        models.ViT(5)


def test_images_are_enlarged_where_the_reading_wants_it():
    vit = models.ViT(16, 8, 2, 1, side=64)
    assert vit(torch.randn(1, 3, 32, 32)).shape == (1, 10)
    assert vit.places.shape == (1, 17, 8)


def test_operations_are_those_counted_by_hand():
    """A convolution: 2 k k c m h w; a matrix product: 2 a b c."""
    convs = 2 * 9 * (3 * 32 * 32**2 + 32 * 64 * 16**2 + 64 * 128 * 8**2)
    assert models.count("cnn-32")["flops"] == convs + 2 * 2048 * 10
    tokens, width = 5, 8
    block = 2 * tokens * width * (3 + 1 + 4 + 4) * width + 2 * 2 * tokens**2 * width
    patches = 2 * 4 * (16 * 16 * 3) * width
    assert models.count("tiny-vit")["flops"] == patches + 2 * block + 2 * width * 10


def test_every_model_gives_ten_scores():
    for name in models.MODELS:
        with torch.device("meta"):
            model = models.build(name).eval()
            assert model(torch.empty(2, 3, 32, 32)).shape == (2, 10), name
    with pytest.raises(ValueError, match="no model 'resnet19'; there are cnn-32"):
        models.build("resnet19")


def test_whitening_whitens():
    g = torch.Generator().manual_seed(0)
    x = torch.nn.functional.avg_pool2d(torch.randn(500, 3, 20, 20, generator=g), 3, 1)
    net = models.SpeedyNet((8, 8, 8))
    net.prepare(x, eps=0)
    out = net.whiten(x).transpose(0, 1).flatten(1)[:12].double()
    covariance = out @ out.T / out.shape[1]
    assert torch.allclose(covariance, torch.eye(12, dtype=torch.float64), atol=0.02)
    assert torch.equal(net.whiten.weight[12:], -net.whiten.weight[:12])


def test_a_group_starts_as_the_identity_on_its_first_channels():
    conv = models.ConvGroup(4, 8).conv1
    x = torch.randn(1, 4, 6, 6)
    assert torch.allclose(conv(x)[:, :4], x, atol=1e-6)


def test_muon_moves_by_orthogonal_matrices_and_keeps_the_norm():
    g = torch.Generator().manual_seed(0)
    p = nn.Parameter(torch.randn(16, 4, 3, 3, generator=g))
    before = p.detach().clone() * (16**0.5 / p.detach().norm())
    p.grad = torch.randn(p.shape, generator=g)
    learner.Muon([p], lr=0.1).step()
    moved = ((before - p.detach()) / 0.1).flatten(1)
    values = torch.linalg.svdvals(moved)
    assert values.min() > 0.3  # three Newton-Schulz steps: near 1, not at 1
    assert values.max() < 1.6
    assert (moved * p.grad.flatten(1)).sum() > 0  # downhill


def test_sgd_on_the_mean_loss_is_the_recipes_sgd_on_the_sum():
    g = torch.Generator().manual_seed(1)
    n = 16  # a power of 2: the gradients differ by an exact factor, however they are rounded
    x, y = torch.randn(n, 3, 32, 32, generator=g).double(), torch.arange(n) % 10
    nets = [models.build("tiny-speedy").double() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    start = nets[0].head.weight.detach().clone()
    setting = Setting("a", "tiny-speedy", rule="muon", lr=0.2, batch=n)
    ours = learner.muon(setting, nets[0], "fast", torch.device("cpu"))
    # as in the recipe's code: rates of 0.053 and 0.67 on the sum, decay 2e-6 an image
    rates = {nets[1].head.weight: 0.67, nets[1].whiten.bias: 0.053}
    rates |= {p: 0.053 for n, p in nets[1].named_parameters() if "norm" in n and "bias" in n}
    groups = [{"params": [p], "lr": r, "weight_decay": 2e-6 * n / r} for p, r in rates.items()]
    filters = [p for p in nets[1].parameters() if p.ndim == 4 and p.requires_grad]
    theirs = [
        learner.Muon(filters, 0.2),
        torch.optim.SGD(groups, momentum=0.85, nesterov=True),
    ]
    for _ in range(3):
        for net, rules, reduction in ((nets[0], ours, "mean"), (nets[1], theirs, "sum")):
            net.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y, reduction=reduction)
            loss.backward()
            for rule in rules:
                rule.step()
    for name, value in nets[0].state_dict().items():
        assert torch.allclose(value, nets[1].state_dict()[name], rtol=1e-6), name
    assert (nets[0].head.weight - start).abs().max() > 0.01  # it has moved


def test_views_weigh_one_together_and_mirror():
    x = torch.randn(2, 3, 8, 8)
    for number in (1, 2, 6):
        views = learner.views(x, number)
        assert len(views) == number
        assert sum(weight for weight, _ in views) == 1
        assert all(view.shape == x.shape for _, view in views)
    shifted = learner.views(x, 6)[2][1]
    assert torch.equal(shifted[..., 1:, 1:], x[..., :-1, :-1])


@pytest.mark.parametrize("rule", learner.OPTIMIZERS)
@pytest.mark.parametrize("name", ["tiny-cnn", "tiny-resnet", "tiny-vit", "tiny-speedy"])
def test_every_rule_moves_every_parameter_of_every_model(name, rule):
    setting = Setting("a", name, rule=rule, lr=0.01, batch=8)
    one = learner.Learner(setting, learner.EVEN, torch.device("cpu"))
    before = {name: p.detach().clone() for name, p in one.model.named_parameters()}
    g = torch.Generator().manual_seed(2)
    x = torch.randint(0, 256, (8, 3, 32, 32), generator=g, dtype=torch.uint8)
    for _ in range(2):
        one.step(x, torch.arange(8), 8, 8)
    for name, p in one.model.named_parameters():
        assert torch.isfinite(p).all()
        assert (p == before[name]).all().item() is not p.requires_grad, name


def test_the_rules_are_those_that_a_setting_may_name():
    assert tuple(learner.OPTIMIZERS) == CHOICES["rule"]
