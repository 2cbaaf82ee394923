"""Calls that once went wrong in silence, or with a message about something else: each is refused
with the value and what was expected, or gives the right result.

What is asked of every public function is in test_bad_input.py; here stand the cases that were
found by hand.
"""

from __future__ import annotations

import io
import math
import re
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlbook_utils import data
from dlbook_utils.foundations import backprop, gradient_flow, linear, regularisation
from dlbook_utils.foundations.mlp import MLP
from dlbook_utils.generative import autoencoders, diffusion, gan, vae
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.page.guards import TrainingFailed, check_count, check_shape
from dlbook_utils.sequences import forecasting, lstm, rnn
from dlbook_utils.study import cifar10
from dlbook_utils.transformers import language_models as lm
from dlbook_utils.transformers import transformer, vit
from dlbook_utils.vision import after_resnet, cnn, cnn_architectures, detection


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


X = draw(2, 5, 3)
IMAGES = draw(4, 1, 8, 8)
GPT = partial(lm.GPT, tokens=11, d=8, heads=2, depth=1)
SMALL_UNET = partial(diffusion.DenoisingUNet, width=8, T=10, d=8)


def train(x=None, pair=None, net=None, **options):
    net = net or MLP([64, 3])
    adam = torch.optim.Adam(net.parameters())
    if pair is None:
        pair = (IMAGES if x is None else x, torch.arange(4) % 3)
    return linear.fit(net, pair, optimizer=adam, epochs=1, **options)


def dataset():
    pixels = (IMAGES.sigmoid() * 255).byte()
    return data.Images(pixels, torch.arange(4) % 3, ("a", "b", "c"), "toy", True, (0.5,), (0.5,))


def diffuse(x, steps=1, **options):
    return diffusion.fit_diffusion(
        SMALL_UNET(), x, abar=diffusion.linear_schedule(10), steps=steps, size=2, **options
    )


REFUSED = {
    # sequences
    "LSTM with h instead of (h, c)": (
        lambda: lstm.LSTM(3, 4)(X, torch.zeros(2, 4)),
        TypeError,
        r"the state must be a pair \(h, c\) of tensors, not Tensor",
    ),
    "LSTM with states of one more axis": (
        lambda: lstm.LSTM(3, 4)(X, (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))),
        ValueError,
        r"the state must have shape \(2, 4\), got \(1, 2, 4\)",
    ),
    **{
        f"{net.__name__} with {case}": (
            lambda net=net, x=x, h=h: net(3, 4)(x, h),
            ValueError,
            rf"the state must have shape \({len(x)}, 4\), got {re.escape(str(tuple(h.shape)))}",
        )
        for net in (rnn.RNN, lstm.GRU)
        for case, x, h in [
            ("a state of three axes", X, torch.zeros(1, 2, 4)),
            ("a batch of 1 and seven states", X[:1], torch.zeros(7, 4)),
        ]
    },
    "RNN with a state of doubles": (
        lambda: rnn.RNN(3, 4)(X, torch.zeros(2, 4).double()),
        TypeError,
        "must be torch.float32 on cpu as the inputs are, not torch.float64 on cpu",
    ),
    "transposed targets of sequences": (
        lambda: rnn.sequence_loss(draw(2, 3, 4), torch.zeros(3, 2, dtype=torch.int64)),
        ValueError,
        r"expected scores of shape \(3, 2, classes\), got \(2, 3, 4\)",
    ),
    "targets that are all left out": (
        lambda: rnn.sequence_loss(draw(2, 3, 4), torch.full((2, 3), rnn.IGNORED)),
        ValueError,
        r"no target counts, labels of shape \(2, 3\) are all -100",
    ),
    "a word with a dot": (lambda: rnn.Alphabet(["a.b"]), ValueError, "the dot is the mark"),
    "temperature 0": (
        lambda: rnn.draw_words(
            rnn.Ngrams(torch.zeros(1, 2).long(), torch.ones(1, 2).long(), 3, 1),
            1,
            generator(0),
            temperature=0,
        ),
        ValueError,
        "a temperature is positive, got 0",
    ),
    "a past and a future longer than the series": (
        lambda: forecasting.cut_windows(draw(20, 3), 16, 5),
        ValueError,
        r"ahead must be in 1\.\.4, got 5",
    ),
    "an interval in per cent": (
        lambda: forecasting.conformal_radius(draw(20).abs(), miss=10),
        ValueError,
        "miss is a share between 0 and 1, got 10",
    ),
    # vision
    "boxes in bytes": (
        lambda: detection.pair_iou(torch.zeros(2, 4).byte(), torch.zeros(2, 4)),
        TypeError,
        "a must be floating-point numbers, not torch.uint8",
    ),
    "boxes that are not numbers": (
        lambda: detection.suppress(torch.full((2, 4), torch.nan), torch.zeros(2)),
        ValueError,
        "boxes hold NaN: 8 of 8 numbers",
    ),
    "boxes with a width and a height": (
        lambda: detection.generalised_iou(
            torch.tensor([[20.0, 20, 5, 5]]), torch.tensor([[20.0, 20, 25, 25]])
        ),
        ValueError,
        "a must be left, top, right, bottom: one ends before it begins",
    ),
    "a focal loss for percentages": (
        lambda: detection.focal_loss(draw(4), torch.tensor([0.0, 100, 0, 100])),
        ValueError,
        r"targets must lie in 0\.\.1, found 0\.0\.\.100\.0",
    ),
    # foundations
    "labels in a column": (
        lambda: regularisation.smoothed_loss(draw(4, 3), torch.zeros(4, 1, dtype=torch.int64)),
        ValueError,
        r"expected scores of shape \(4, 1, classes\), got \(4, 3\)",
    ),
    "labels to be left out, smoothed": (
        lambda: regularisation.smoothed_loss(draw(2, 3), torch.tensor([1, -100])),
        ValueError,
        r"labels must lie in 0\.\.2 for 3 scores, found -100\.\.1",
    ),
    "a level in per cent": (
        lambda: linear.mean_interval([0.1, 0.2], level=95),
        ValueError,
        r"0 < level < 1, got \(2,\), 95",
    ),
    "scores that are NaN": (
        lambda: linear.evaluate(MLP([64, 3]), IMAGES * torch.nan, torch.arange(4) % 3),
        TrainingFailed,
        "the loss on the evaluation data is nan",
    ),
    "a data set instead of a pair": (
        lambda: train(pair=dataset()),
        TypeError,
        r"training data must be a pair of tensors \(x, y\), not Images; .*data.inputs\(\), data.y",
    ),
    "a DataLoader instead of a pair": (
        lambda: train(pair=torch.utils.data.DataLoader([1, 2, 3])),
        TypeError,
        r"must be a pair of tensors \(x, y\), not DataLoader",
    ),
    "batches of 0": (lambda: train(size=0), ValueError, "size must be 1 or more, got 0"),
    "a last batch of one, in torch's batch normalisation": (
        lambda: train(net=nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.BatchNorm1d(3)), size=3),
        ValueError,
        "4 examples in batches of 3 leave a batch of one, over which batch normalisation has no",
    ),
    "a last batch of one, in ours": (
        lambda: train(x=draw(4, 3), net=gradient_flow.BatchNorm(3), size=3),
        ValueError,
        "4 examples in batches of 3 leave a batch of one",
    ),
    "no gradient to clip": (
        lambda: gradient_flow.clip_gradients(nn.Linear(2, 2).parameters(), 1.0),
        ValueError,
        "0 gradients",
    ),
    **{
        f"{layer.__name__} of other features": (
            lambda layer=layer: layer(4)(torch.ones(2, 1)),
            ValueError,
            r"x must have shape \(\.\.\., 4\), got \(2, 1\)",
        )
        for layer in (gradient_flow.LayerNorm, gradient_flow.RMSNorm)
    },
    "backward of a constant's list": (
        lambda: backprop.Node([1.0, 2.0]).backward(),
        ValueError,
        r"backward needs one number, not \(2,\)",
    ),
    # vision
    "a bias of length 1": (
        lambda: cnn.conv2d(IMAGES, draw(3, 1, 3, 3), torch.zeros(1)),
        ValueError,
        r"bias must have shape \(3,\), got \(1,\)",
    ),
    "padding -1": (
        lambda: cnn.conv2d(IMAGES, draw(3, 1, 3, 3), padding=-1),
        ValueError,
        "padding -1 is too small",
    ),
    "stride -1": (lambda: cnn.output_size(5, 3, -1), ValueError, "stride -1"),
    "stride 0 of a pooling": (
        lambda: cnn.max_pool2d(IMAGES, 2, stride=0),
        ValueError,
        "stride 0",
    ),
    **{
        f"{pool.__name__}, padded by its kernel": (
            lambda pool=pool: pool(IMAGES, 2, padding=2),
            ValueError,
            "padding 2 is over half of kernel 2",
        )
        for pool in (cnn.max_pool2d, cnn.avg_pool2d)
    },
    "a gradient of another shape": (
        lambda: cnn.conv2d_backward(draw(4, 3, 5, 6), IMAGES, draw(3, 1, 3, 3)),
        ValueError,
        r"g must have shape \(4, 3, 6, 6\), got \(4, 3, 5, 6\)",
    ),
    "an image without its batch": (
        lambda: cnn.conv2d(IMAGES[0], draw(3, 1, 3, 3)),
        ValueError,
        r"images must have shape \(n, 1, h, w\), got \(1, 8, 8\)",
    ),
    "fewer widths than stages": (
        lambda: cnn_architectures.ResNet(nn.Identity(), [1, 1, 1], [8, 16]),
        ValueError,
        r"stages differ: \[1, 1, 1\] and \[8, 16\]",
    ),
    "a bottleneck to channels that have no quarter": (
        lambda: after_resnet.BottleneckBlock(8, 10),
        ValueError,
        "m is a positive multiple of 4, got 10",
    ),
    "a Highway that widens": (
        lambda: cnn_architectures.HighwayBlock(1, 8),
        ValueError,
        "it copies: 1 != 8 or stride 1",
    ),
    "subsampling of other channels": (
        lambda: cnn_architectures.Subsampling(1)(draw(2, 3, 4, 4)),
        ValueError,
        r"images must have shape \(n, 1, h, w\), got \(2, 3, 4, 4\)",
    ),
    # transformers
    "a wide image that has as many patches": (
        lambda: vit.ViT(8, 2, 8, 2, 8, 1, channels=1)(draw(2, 1, 4, 16)),
        ValueError,
        r"x must have shape \(n, 1, 8, 8\), got \(2, 1, 4, 16\)",
    ),
    "patches of 0": (lambda: vit.patches_of(IMAGES, 0), ValueError, "patches of 0"),
    "a ViT of patches of 0": (lambda: vit.ViT(8, 0, 8, 2, 8, 1), ValueError, "P=0 should tile"),
    "five patches": (
        lambda: vit.image_of(draw(1, 5, 4), 2),
        ValueError,
        "5 patches make no square",
    ),
    "distances among five patches": (
        lambda: vit.attention_distance(torch.ones(1, 1, 5, 5), 2),
        ValueError,
        "5 patches make no square",
    ),
    "zero heads": (
        lambda: transformer.MultiHeadAttention(8, 0),
        ValueError,
        "0 heads cannot share 8",
    ),
    "reading on with BERT": (
        lambda: lm.read_on(GPT(block=4, causal=False), torch.zeros(1, 2).long()),
        ValueError,
        "only a causal model reads on.*causal = False",
    ),
    "reading on past the end": (
        lambda: lm.read_on(GPT(block=4), torch.zeros(1, 5).long()),
        ValueError,
        "4 tokens at most.*5 tokens",
    ),
    "an empty prompt": (
        lambda: lm.generate(GPT(block=4), torch.zeros(1, 0).long(), 2, generator(0)),
        ValueError,
        "length of the prompt must be 1 or more, got 0",
    ),
    "a text shorter than its blocks": (
        lambda: lm.draw_blocks(torch.arange(5), 2, 5, generator(0)),
        ValueError,
        r"T must be in 1\.\.4, got 5",
    ),
    "a language model at a rate of a billion": (
        lambda: lm.train_language_model(
            GPT(block=4), lambda g: lm.draw_blocks(torch.arange(9), 2, 4, g), 200, 1e9, 0, warm=1
        ),
        TrainingFailed,
        "the loss is nan in epoch 1, step",
    ),
    # generative
    "diffusion of bytes": (
        lambda: diffuse((IMAGES.sigmoid() * 255).byte()),
        TypeError,
        r"x must be float or int64, not torch.uint8; use .inputs\(\)",
    ),
    "diffusion of whole numbers": (
        lambda: diffuse(IMAGES.long()),
        TypeError,
        r"x must be float, not torch.int64; use .inputs\(\)",
    ),
    "more steps back than there are": (
        lambda: diffusion.go_back(lambda x, t: x, IMAGES, diffusion.linear_schedule(10), 11),
        ValueError,
        r"steps must be in 1\.\.10, got 11",
    ),
    "guidance without labels": (
        lambda: diffusion.denoiser(SMALL_UNET(), diffusion.linear_schedule(10), scale=3),
        ValueError,
        "scale 3 needs labels y",
    ),
    "odd sides of the U-Net": (
        lambda: SMALL_UNET()(draw(2, 1, 7, 8), torch.tensor(3)),
        ValueError,
        r"h and w multiples of 2, got \(2, 1, 7, 8\)",
    ),
    "more neighbours than points": (
        lambda: diffusion.precision_coverage(draw(4, 2), draw(4, 2), k=4),
        ValueError,
        r"k must be in 1\.\.3, got 4",
    ),
    "a GAN of bytes": (
        lambda: gan.fit_gan(
            gan.DigitGenerator(4, 2), gan.DigitDiscriminator(2), IMAGES.byte(), steps=1
        ),
        TypeError,
        "not torch.uint8",
    ),
    "a VAE of bytes": (
        lambda: vae.train_vae(vae.VAE(2), IMAGES.byte(), 1),
        TypeError,
        "not torch.uint8",
    ),
    "scores of anomalies that are NaN": (
        lambda: autoencoders.roc_auc(torch.tensor([0.1, torch.nan]), torch.tensor([True, False])),
        ValueError,
        "1 scores are NaN",
    ),
    "more components than features": (
        lambda: autoencoders.principal_components(draw(5, 3), 4),
        ValueError,
        r"k must be in 1\.\.3, got 4",
    ),
    # study
    "an accuracy in per cent": (
        lambda: cifar10.accuracy_error(90.7, 5000),
        ValueError,
        "0 <= p <= 1 and n >= 1, got 90.7",
    ),
    "a confusion that is not square": (
        lambda: cifar10.class_scores([[1, 2, 3], [4, 5, 6]]),
        ValueError,
        r"confusion must have shape \(\.\.\., 3, 3\), got \(2, 3\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_the_value_and_what_was_expected(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call()


def test_a_state_of_zeros_is_no_state():
    h = torch.zeros(2, 4)
    for net, state in [(rnn.RNN(3, 4), h), (lstm.GRU(3, 4), h), (lstm.LSTM(3, 4), (h, h))]:
        torch.testing.assert_close(net(X, state), net(X))


def test_lines_take_a_mask_as_images_do():
    names = data.Lines(("a", "b", "c"), "toy")
    for mask in ([False, True, True], torch.tensor([False, True, True]), np.array([0, 1, 1]) > 0):
        assert names[mask].items == ("b", "c")
    with pytest.raises(ValueError, match="a mask of 2 for 3 items"):
        names[[True, False]]


def padded():
    """Scores of 20 sequences of very unequal lengths, and their targets."""
    scores, y = draw(20, 6, 4), torch.arange(120).view(20, 6) % 4
    for row in range(20):
        y[row, 1 + (row * row) % 6 :] = rnn.IGNORED
    return scores, y


@pytest.mark.parametrize("size", [1, 3, 7, 1024])
def test_evaluation_weighs_what_counts_whatever_the_batches(size):
    scores, y = padded()
    found = linear.evaluate(nn.Identity(), scores, y, loss=rnn.sequence_loss, size=size)
    kept = y != rnn.IGNORED
    right = (scores.argmax(-1) == y)[kept].double().mean().item()
    assert found["accuracy"] == pytest.approx(right)
    assert found["loss"] == pytest.approx(rnn.sequence_loss(scores, y).item())


def test_the_training_loss_weighs_what_counts():
    scores, y = padded()
    net = nn.Linear(4, 4)
    sgd = torch.optim.SGD(net.parameters(), lr=0.0)
    history = linear.fit(net, (scores, y), optimizer=sgd, epochs=1, size=3, loss=rnn.sequence_loss)
    whole = rnn.sequence_loss(net(scores), y).item()
    assert history[0]["train_loss"] == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (gradient_flow.RMSNorm, lambda d: nn.RMSNorm(d, eps=1e-5)),
        (gradient_flow.LayerNorm, nn.LayerNorm),
    ],
)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_norms_of_large_numbers_in_half_precision(ours, theirs, kind):
    x = (300 * draw(5, 3) + 300).to(kind)
    y = ours(3).to(kind)(x)
    assert y.dtype == kind
    torch.testing.assert_close(y, theirs(3).to(kind)(x), atol=1e-2, rtol=1e-2)


def test_batch_normalisation_of_large_numbers_in_half_precision():
    x = 300 * draw(9, 3)
    ours, theirs = gradient_flow.BatchNorm(3).bfloat16(), nn.BatchNorm1d(3)
    y = ours(x.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), theirs(x), atol=0.05, rtol=0.05)
    torch.testing.assert_close(ours.running_var.float(), theirs.running_var, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("other", [[1.0, 2.0], np.array([1, 2], dtype=np.uint8), (1, 2)])
def test_nodes_subtract_and_divide_whatever_they_add(other):
    node, plain = backprop.Node([5.0, 8.0]), np.array([5.0, 8.0])
    numbers = np.asarray(other, dtype=float)
    np.testing.assert_allclose((node - other).data, plain - numbers)
    np.testing.assert_allclose((node / other).data, plain / numbers)
    np.testing.assert_allclose((other - node).data, numbers - plain)
    np.testing.assert_allclose((other / node).data, numbers / plain)


def test_a_number_to_the_power_of_0_has_slope_0():
    x = backprop.Node([0.0, 3.0])
    (x**0).sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 0.0])


def test_backward_of_a_leaf_adds_to_its_gradient():
    x = backprop.Node(3.0)
    (x * 6).backward()
    x.backward()
    assert x.grad == 7.0


def test_an_average_of_weights_follows_what_batch_normalisation_remembers():
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1))
    net.classes = 0

    class Timed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.classes = net, 0

        def forward(self, x, t, y=None):
            return self.net(x)

    timed = Timed()
    average, _ = diffusion.fit_diffusion(
        timed, IMAGES + 5, abar=diffusion.linear_schedule(10), steps=40, size=4
    )
    mean = average.net[1].running_mean
    assert abs(mean - timed.net[1].running_mean) < 0.5 * abs(timed.net[1].running_mean)
    assert mean != 0


def test_a_bigram_writes():
    model = GPT(block=1)
    for cached in (True, False):
        text = lm.generate(model, torch.tensor([[3]]), 4, generator(0), cached=cached)
        assert text.shape == (1, 5)
    assert text[0, 0] == 3


def test_bert_is_not_read_from_a_cache():
    ids, model = torch.tensor([[1, 2]]), GPT(block=8, causal=False)
    assert lm.generate(model, ids, 2, generator(0), cached=False).shape == (1, 4)
    with pytest.raises(ValueError, match="only a causal model"):
        lm.generate(model, ids, 2, generator(0))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_nothing_is_dropped_where_nothing_was_asked_for(kind):
    p = lm.next_probabilities(draw(4, 500).to(kind))
    assert (p > 0).all()


def test_pairs_may_be_tensors_and_lists():
    merges = lm.learn_merges("to be or not to be to be", 5)
    text = "not to be"
    assert lm.BPE(torch.tensor(merges)).encode(text) == lm.BPE(merges).encode(text)
    assert lm.merge([1, 2, 3], [1, 2], 9) == lm.merge([1, 2, 3], (1, 2), 9) == [9, 3]


def test_no_image_has_no_maps():
    w = draw(3, 1, 3, 3)
    assert cnn.conv2d(IMAGES[:0], w).shape == F.conv2d(IMAGES[:0], w).shape == (0, 3, 6, 6)


def test_a_vae_may_rest():
    assert vae.train_vae(vae.VAE(2), IMAGES.sigmoid(), 0) == []


def test_numpy_integers_are_integers():
    torch.testing.assert_close(
        torch.rand(3, generator=generator(np.int64(5))), torch.rand(3, generator=generator(5))
    )
    seed_everything(np.int32(5))
    first = torch.rand(1)
    seed_everything(5)
    assert torch.equal(torch.rand(1), first)
    made = data.load("moons", n=np.int64(10), seed=np.int64(3))
    assert torch.equal(made.x, data.load("moons", n=10, seed=3).x)
    assert linear.wilson(np.uint8(150), np.uint8(200)) == linear.wilson(150, 200)
    assert cifar10.mcnemar(np.int64(60), np.int64(40)) == cifar10.mcnemar(60, 40)
    assert [len(k) for k in linear.batches(np.int64(5), np.int64(2))] == [2, 2, 1]
    torch.testing.assert_close(cnn.max_pool2d(IMAGES, np.int64(2)), F.max_pool2d(IMAGES, 2))


@pytest.mark.parametrize("seed", [1.5, "1", None])
def test_other_seeds_are_refused(seed):
    with pytest.raises(TypeError, match=f"a seed is a non-negative integer, not {seed!r}"):
        generator(seed)


@pytest.mark.parametrize(("n", "error"), [(2.0, TypeError), (0, ValueError), (6, ValueError)])
def test_counts_are_whole_and_within_bounds(n, error):
    with pytest.raises(error, match=rf"n must be .*{n}"):
        check_count(n, "n", 1, 5)
    assert check_count(np.uint8(5), "n", 1, 5) == 5


def test_shapes_may_have_words_and_dots():
    x = torch.zeros(2, 3, 4)
    for shape in ([2, 3, 4], ["n", 3, "w"], [..., 4], [..., 3, 4], [..., 2, 3, 4]):
        assert check_shape(x, shape) is x
    for shape in ([2, 3], [..., 3], [..., 9, 2, 3, 4], ["n", 4, 4]):
        with pytest.raises(ValueError, match=r"got \(2, 3, 4\)"):
            check_shape(x, shape)
    with pytest.raises(TypeError, match="x must be a tensor, not list"):
        check_shape([1], [1])


def test_float64_is_asked_of_the_cpu_alone(monkeypatch):
    """Apple's GPUs have no float64: what is made double has been on the CPU before."""
    safe = set()
    double, cpu = torch.Tensor.double, torch.Tensor.cpu

    def watched(x, *args):
        assert id(x) in safe, "double() of what may be on a GPU"
        return double(x, *args)

    def moved(x, *args):
        x = cpu(x, *args).clone()
        kept.append(x)
        safe.add(id(x))
        return x

    kept = []
    monkeypatch.setattr(torch.Tensor, "double", watched)
    monkeypatch.setattr(torch.Tensor, "cpu", moved)
    judge = cnn.ConvNet([1, 4, 4], 3)
    gan.digit_features(judge, IMAGES)
    gan.frechet_distance(draw(5, 2), draw(6, 2))
    autoencoders.roc_auc(draw(6), torch.arange(6) % 2)
    diffusion.precision_coverage(draw(9, 2), draw(9, 2))
    cifar10.class_scores(torch.eye(2))


def test_calibration_is_computed_on_the_cpu(monkeypatch):
    places = []
    softmax = F.softmax
    monkeypatch.setattr(
        cifar10.F, "softmax", lambda z, dim: places.append(z.device.type) or softmax(z, dim)
    )
    assert 0 <= cifar10.calibration_error(draw(9, 3), torch.arange(9) % 3) <= 1
    assert places == ["cpu"]


# Defaults and bounds that no test had held (found by mutation).


def test_a_window_may_be_as_large_as_the_image():
    assert cnn.output_size(5, 5) == 1
    x, w = draw(1, 1, 5, 5), draw(1, 1, 5, 5)
    torch.testing.assert_close(cnn.conv2d(x, w), F.conv2d(x, w))


@pytest.mark.parametrize("net", [lstm.GRU, lstm.LSTM, rnn.RNN])
def test_recurrent_weights_start_within_one_over_the_root_of_m(net):
    seed_everything(0)
    made = net(40, 25)
    for weight in (made.W_xh, made.W_hh):
        assert 0.19 < weight.max() <= 0.2
        assert -0.2 <= weight.min() < -0.19
        assert abs(weight.mean()) < 0.01


def test_transformers_have_two_blocks_and_normalise_first():
    model = transformer.Transformer(5, 6, 8, 2, 16)
    assert len(model.encoder) == len(model.decoder) == 2
    blocks = [*model.encoder, *model.decoder, transformer.EncoderBlock(8, 2, 16)]
    blocks.append(transformer.DecoderBlock(8, 2, 16))
    assert all(block.add1.pre and block.add2.pre for block in blocks)
    assert isinstance(model.norms[0], nn.LayerNorm)


def test_the_unet_knows_a_thousand_levels_unless_told():
    assert diffusion.DenoisingUNet(width=8).T == 1000
    assert len(diffusion.linear_schedule()) == len(diffusion.cosine_schedule()) == 1001
    assert diffusion.linear_schedule()[-1] < 5e-5
    assert diffusion.linear_schedule(50)[-1] == pytest.approx(0.60, abs=0.005)


def test_a_vae_keeps_numbers_for_its_history_not_graphs(monkeypatch):
    """Without detach, the sums of an epoch would hold the graph of each of its batches."""
    alive = []
    stack = torch.stack

    def watched(parts, *args, **options):
        made = stack(parts, *args, **options)
        if made.requires_grad and made.shape == (2,):
            alive.append(made.register_hook(lambda g: None) and made)
        return made

    held = []
    add = torch.Tensor.__iadd__

    def adding(self, other):
        held.append(getattr(other, "requires_grad", False))
        return add(self, other)

    monkeypatch.setattr(vae.torch, "stack", watched)
    monkeypatch.setattr(torch.Tensor, "__iadd__", adding)
    vae.train_vae(vae.VAE(2), IMAGES.sigmoid(), 1, size=2)
    assert alive
    assert held
    assert not any(held)


def test_the_story_of_a_run_is_made_of_plain_numbers():
    history = vae.train_vae(vae.VAE(2), IMAGES.sigmoid(), 1)
    assert all(math.isfinite(value) for value in history[0].values())


def narrow(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_a_check_is_printed_with_what_the_stream_has(monkeypatch, encoding):
    from dlbook_utils.page import check

    stream = narrow(encoding)
    monkeypatch.setattr("sys.stdout", stream)
    check("a is ≤ b", True)
    shown = stream.buffer.getvalue().decode(encoding)
    assert shown.splitlines() == ["[ok] a is \\u2264 b"]
