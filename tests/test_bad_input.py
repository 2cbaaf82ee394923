"""What is asked of every public function: the wrong thing, and the right thing of another kind.

Each function of the built modules, of `page` and of `data.augment` has one valid call in CALLS. Of
each of its arguments bad variants are derived: a wrong shape or type, another device ("meta"), a
NumPy number, half precision, nothing, NaN, a number out of range, too large a number. A variant
must be refused in words that name what was given (its value, shape, type, dtype or device), or give
a right result: the same for a NumPy number, a close one in half precision, NaN for NaN, a tensor on
"meta" for one there. What does neither stands in EXCUSED, with its reason.

`python -m tests.test_bad_input` counts the variants by what became of them, and lists the bad ones.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
import re
import signal
import warnings
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import dlbook_utils
from tools.layers import CIRCLE_FREE as ROOMS

CALLS = {}
MODULES = ["data.augment", "page.guards", "page.devices", "page.plotting"]
MODULES += sorted(  # and all that chapters build
    f"{path.parent.name}.{path.stem}"
    for path in Path(dlbook_utils.__file__).parent.glob("*/*.py")
    if path.parent.name not in ROOMS and path.stem != "__init__"
)
OTHERS = {  # public, but not asked here: why
    "data": "tests/data asks load, split and the sets; the rest talks to hosts and archives",
    "page.claims": "shows boxes: tests/page/test_claims.py",
    "page.interactive": "shows figures: tests/page/test_interactive.py",
    "page.notebook": "shows boxes",
    "page.sayings": "a table",
    "page.palette": "tables of colours: tests/page/test_palette.py",
    "page.mime": "called by the book's build alone",
    "records": "tests/records",
    "runner": "its command line and its own tests",
}
NOT_ASKED = {  # of MODULES: why
    "page.guards.TrainingFailed": "an error",
    "page.guards.progress": "takes any iterable",
    "page.plotting.use_style": "takes nothing",
    "page.plotting.label_line": "Matplotlib's arguments",
    "page.plotting.to_svg": "takes a figure",
    "page.plotting.adapt": "takes a drawing",
    "foundations.backprop.Operators": "tests/foundations/test_backprop.py",
    "foundations.backprop.as_node": "makes a node of anything that NumPy makes an array of",
    "foundations.backprop.topological_order": "takes nodes that the engine made",
    "foundations.linear.fit": "its guards: tests/page/test_guards.py, tests/test_calls.py",
    "practice.own_data.train_epoch": "its guards: tests/practice/test_own_data.py",
    "practice.own_data.train_run": "its guards: tests/practice/test_own_data.py",
    "practice.own_data.save_run": "a run that start_run made",
    "practice.own_data.resume_run": "a file that save_run wrote",
}


def f(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ints(*shape, below=3):
    return torch.arange(int(np.prod(shape))).view(*shape) % below


def own(value):
    """A copy, so that no call trains another call's network."""
    return value if isinstance(value, (torch.Generator, partial)) else copy.deepcopy(value)


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def ask(name, *args, call=None, **options):
    """Enter a valid call: of the function, of the class, or (with `call`) of an object of it."""

    def make():
        torch.manual_seed(0)
        module, attribute = name.split("()")[0].rsplit(".", 1)
        target = getattr(importlib.import_module(f"dlbook_utils.{module}"), attribute)
        if "()" in name:
            target = target(*map(own, args), **options)
            method = name.split("()")[1].removeprefix(".")
            given = list(call)
            return (getattr(target, method) if method else target), given, {}
        return target, [own(a) for a in args], {key: own(value) for key, value in options.items()}

    CALLS[name] = make


def enter():
    lin, opt, flow = (
        "foundations.linear.",
        "foundations.optimisation.",
        "foundations.gradient_flow.",
    )
    ask(lin + "batches", 5, 2)
    ask(lin + "evaluate", nn.Linear(4, 3), f(6, 4), ints(6), size=2)
    ask(lin + "wilson", 3, 9, 1.96)
    ask(lin + "mean_interval", [0.5, 0.6, 0.9], 0.95)
    ask("foundations.mlp.MLP", [4, 5, 3])
    ask("foundations.mlp.MLP()", [4, 5, 3], call=[f(6, 4)])
    ask("foundations.mlp.MLP().hidden", [4, 5, 3], call=[f(6, 4)])
    ask("foundations.mlp.count_parameters", nn.Linear(4, 3))
    for rule in [
        "sgd",
        "heavy_ball",
        "nesterov",
        "adagrad",
        "rmsprop",
        "adam",
        "adamw",
        "lion",
        "muon",
    ]:
        ask(opt + rule, f(3, 4), f(3, 4, seed=1), defaultdict(float), 0.1)
    ask(opt + "Descent", [f(3).requires_grad_()], print, 0.1)
    ask(opt + "newton_schulz", f(3, 4), 5)
    ask(opt + "step_decay", 7, 3, 0.1)
    ask(opt + "cosine", 3, 10, 0.1)
    ask(opt + "warm_up", 3, 10, 0.1)
    ask(opt + "triangular", 3, 10, 0.1)
    ask(opt + "one_cycle", 3, 10)
    ask(flow + "standardise_over", f(6, 4), [0], 1e-5)
    ask(flow + "batch_axes", f(6, 4), 4)
    for layer in ("LayerNorm", "RMSNorm", "BatchNorm"):
        ask(flow + layer, 4)
        ask(flow + layer + "()", 4, call=[f(6, 4)])
    steep = f(3).requires_grad_()
    steep.grad = f(3, seed=1)
    ask(flow + "clip_gradients", [steep], 1.0)
    reg = "foundations.regularisation."
    ask(reg + "soft_threshold", f(5), 0.3)
    ask(reg + "thin", f(4, 3), f(4, 3) > 0, 0.5)
    ask(reg + "Dropout", 0.5)
    ask(reg + "Dropout()", 0.0, call=[f(4, 3)])
    ask(reg + "smooth_targets", ints(4), 3, 0.1)
    ask(reg + "smoothed_loss", f(4, 3), ints(4), 0.1)
    back = "foundations.backprop."
    a = f(3, 4).double().numpy()
    ask(back + "Node", a)
    ask(back + "unbroadcast", a, (3, 1))
    ask(back + "numeric_gradient", lambda x: float((x**2).sum()), a)
    ask(back + "gradient_error", a, a + 1e-3)
    for seq, recurrent in (("sequences.rnn.", ["RNN"]), ("sequences.lstm.", ["LSTM", "GRU"])):
        for net in recurrent:
            ask(seq + net, 3, 4)
            h = f(2, 4)
            ask(seq + net + "()", 3, 4, call=[f(2, 5, 3), (h, h) if net == "LSTM" else h])
    seq = "sequences.rnn."
    ask(seq + "Alphabet", ["ab", "ba"])
    ask(seq + "Alphabet().encode", ["ab", "ba"], call=[["ab"]])
    ask(seq + "Alphabet().decode", ["ab", "ba"], call=[[1, 2, 0]])
    ask(seq + "contexts", ints(2, 5), 2)
    ask(seq + "Ngrams", ints(2, 5), ints(2, 5), 3, 1, 1.0)
    ask(seq + "Ngrams()", ints(2, 5), ints(2, 5), 3, 1, 1.0, call=[ints(2, 5)])
    ask(seq + "sequence_loss", f(2, 5, 3), ints(2, 5))
    ask(seq + "bits_per_character", nn.Embedding(3, 3), ints(2, 5), ints(2, 5))
    ask(seq + "CharacterModel", nn.Identity(), 4, 3)
    from dlbook_utils.sequences.rnn import RNN, Ngrams

    ask(seq + "CharacterModel()", RNN(3, 4), 4, 3, call=[ints(2, 5)])
    ask(seq + "draw_words", Ngrams(ints(2, 5), ints(2, 5), 3, 1), 4, g(), 1.0, 6)
    ask("sequences.lstm.Bidirectional()", RNN(3, 4), RNN(3, 2), call=[f(2, 5, 3)])
    ask("sequences.lstm.zero_state", f(2, 5, 3), 3, 4)
    words = "sequences.embeddings."
    ask(words + "cooccurrences", ints(9, 5).flatten(), 5, 2)
    ask(words + "pmi", f(4, 3).abs(), 0.75)
    ask(words + "negative_sampling_loss", f(4, 3), f(4, 3), f(4, 2, 3))
    links, near = "transformers.graphs.", torch.tensor([[0, 1, 2, 0], [1, 0, 2, 2]])
    has = torch.tensor([[0, 4, 2, 3], [0, 0, 1, 2]])
    ask("page.guards.check_edges", near, 3, 3)
    ask(links + "link_nodes", near[:, ::3], 3)
    ask(links + "pass_messages", f(3, 4), near, f(4), 3)
    ask(links + "edge_softmax", f(4), near, 3)
    ask(links + "degree_weights", near, 3)
    ask(links + "look_up", f(5, 4), has, 3, 0.0)
    ask(links + "GCN", 5, 4, 3, 2, 0.5)
    ask(links + "GCN()", 5, 4, 3, call=[has, near])
    ask(links + "GAT", 5, 4, 3, 2, 0.6, True)
    ask(links + "GAT()", 5, 4, 3, 2, call=[has, near])
    ask(links + "refine_colours", near, [0, 0, 1])
    ask(links + "count_nodes", near)
    NOT_ASKED[links + "check_settings"] = "checks what networks are given, which are asked"
    NOT_ASKED[links + "glorot"] = "makes a parameter of any shape"
    NOT_ASKED[links + "learn_nodes"] = "a loop over what others check"
    ahead = "sequences.forecasting."
    ask(ahead + "cut_windows", f(20, 3), 6, 4)
    ask(ahead + "ridge_map", f(9, 4), f(9, 2), 0.5)
    ask(ahead + "PatchForecaster", nn.Identity(), 3, 6, 4, True, True, 2, 5)
    days = nn.Identity(), 3, 6, 4, False, True, 2, 5
    ask(ahead + "PatchForecaster()", *days, call=[f(2, 3, 6)])
    ask(ahead + "conformal_radius", f(20, 3).abs(), 0.1)
    talk = "sequences.speech."
    ask(talk + "spectrogram", f(2, 40), 16, 8)
    ask(talk + "mel_filters", 8, 64, 8000.0)
    some, more = torch.tensor([5, 3, 1]), torch.tensor([4, 2])
    ask(talk + "warp_costs", f(3, 5, 2), some, f(2, 4, 2), more)
    ask(talk + "collapse", [1, 1, 0, 2], 2)
    log_p = f(2, 6, 4).log_softmax(2)
    ask(talk + "ctc_alphas", log_p, torch.tensor([[3, 0, 3, 1, 3], [3, 2, 3, 2, 3]]))
    digits, full = torch.tensor([[0, 1], [2, 2]]), torch.tensor([6, 5])
    ask(talk + "ctc_loss", log_p, full, digits, torch.tensor([1, 2]))
    ask(talk + "edit_distance", [1, 2, 3], [2, 3])
    symbols = "beyond.neuro_symbolic."
    ask(symbols + "log_sums", log_p[:, 0], log_p[:, 1])
    ask(symbols + "log_total", log_p[:, :2], log_p[:, 2:4], torch.tensor([[3, 0, 1], [2, 1, 0]]))
    reward = "beyond.reinforcement."
    go = f(3, 2, 3, seed=1).softmax(2)
    ask(reward + "value_iteration", go, f(3, 2), 0.9, 4)
    stops = torch.tensor([[True, False], [False, False], [False, True]])
    values = [f(3, 2, seed=s) for s in range(3)]
    ask(reward + "advantages", *values, stops, ~stops & (values[0] > 0), 0.9, 0.8)
    ask(reward + "clipped_loss", f(4), f(4, seed=1), f(4, seed=2), 0.2)
    ask(reward + "interquartile_mean", f(2, 9))
    ask(reward + "bootstrap_interval", f(9), g(), 50, 0.9)
    for name in ("CartPole", "Pendulum", "Episodes", "play_out", "collect", "epsilon_greedy"):
        NOT_ASKED[reward + name] = "plays a game: tests/beyond/test_reinforcement.py"
    for name in ("small_net", "learn_ppo", "ppo_loss", "learn_dqn", "q_targets"):
        NOT_ASKED[reward + name] = "makes or takes networks: tests/beyond/test_reinforcement.py"
    from dlbook_utils.foundations.mlp import MLP

    stream, sides = "beyond.continual.", [MLP([4, 5, 3]), MLP([4, 5, 3])]
    ask(stream + "task_scores", f(2, 3, 3).sigmoid())
    ask(stream + "ParallelMLP", sides)
    ask(stream + "ParallelMLP()", sides, call=[f(2, 6, 4)])
    ask(stream + "ParallelMLP().trace", sides, call=[f(2, 6, 4)])
    NOT_ASKED[stream + "fisher_diagonal"] = "takes a network: tests/beyond/test_continual.py"
    NOT_ASKED[stream + "offer_reservoir"] = "takes any item: tests/beyond/test_continual.py"
    ask(stream + "StreamingLDA", 4, 3, 0.01)
    ask(stream + "StreamingLDA().observe", 4, 3, call=[f(9, 4), ints(9)])
    views = "beyond.self_supervised."
    ask(views + "contrastive_loss", f(4, 3), f(4, 3).flip(0), 0.2)
    ask(views + "pair_loss", f(4, 3), f(4, 3).flip(0), 0.2)
    ask(views + "effective_rank", f(4, 3))
    music = "sequences.music."
    here = torch.ones(2, 5, dtype=torch.bool)
    rolls = (f(2, 5, 6) > 0).float()
    ask(music + "piano_roll", [(48, 60), (62,)])
    ask(music + "step_nats", f(2, 5, 6), rolls, here)
    ask(music + "ChordHead", 3, 6)
    ask(music + "ChordHead()", 3, 6, call=[f(2, 5, 3), rolls])
    ask(music + "ChordHead().draw", 3, 6, call=[f(2, 5, 3), g(), 1.0])
    from dlbook_utils.sequences.music import ChordHead

    NOT_ASKED[music + "RollModel"] = "takes two networks"
    ask(music + "RollModel()", nn.Identity(), ChordHead(6, 6), call=[rolls])
    ask(music + "RollModel().compose", nn.Identity(), ChordHead(6, 6), call=[rolls, 2, g()])
    ask(music + "voice_moves", torch.ones(3, 4))
    four = ints(5, 4, below=20).sort(1).values  # the lowest voice first
    ask(music + "broken_rules", four, four + 1)
    rivals, pair = "practice.classical.", (f(30, 4), ints(30, below=2))
    ask(rivals + "gradient_cells", f(2, 1, 8, 8), 4, 9)
    ask(rivals + "hog_features", f(2, 1, 8, 8), 4, 2, 9)
    ask(rivals + "best_stump", f(9, 3), f(9, seed=1))
    ask(rivals + "boost_stumps", *pair, 3, 0.1)
    ask(rivals + "boosted_scores", f(9, 3), 0.1, [(0, 0.2, -1.0, 1.0)])
    ask(rivals + "draw_settings", "SVM", 3, 0)
    ask(rivals + "rival_net", "MLP", torch.Size([4]), 3, 0.1)
    ask(rivals + "train_net", nn.Linear(4, 2), *pair, 2, 0.01, 0.1, 0)
    ask(rivals + "classical_model", "linear", pair[0], {"C": 1.0}, 0)
    ask(rivals + "train_rival", "linear", *pair, {"C": 1.0}, 1, 0)
    lean = "practice.efficiency."
    ask(lean + "decode_float", ints(9, below=9), 5, 10)
    ask(lean + "LossScale", 1024.0, 5)
    NOT_ASKED[lean + "RoundThrough"] = "autograd's: what calls it is asked"
    NOT_ASKED[lean + "Recompute"] = "autograd's: tests/practice/test_efficiency.py"
    ask(lean + "fake_quantise", f(4, 6), f(4, 1, seed=1).abs(), 4)
    ask(lean + "grid_step", f(4, 6), 4, 8)
    ask(lean + "ViewedLinear", 4, 3)
    ask(lean + "ViewedLinear()", 4, 3, call=[f(2, 4)])
    ask(lean + "largest_mask", f(4, 6), 0.5)
    own = "practice.own_data."
    ask(own + "rate_at", 3, 9, 0.5, 0.1)
    ask(own + "start_run", nn.Linear(4, 2), 0, 0.01)
    ask(own + "rate_test", nn.Linear(4, 2), *pair, 0.01, 1.0, 3, 8, 0)
    ask(own + "FromBytes", nn.Flatten(), (0.5,), (0.2,))
    ask(own + "FromBytes()", nn.Flatten(), (0.5,), (0.2,), call=[255 * f(2, 1, 3, 3).sigmoid()])
    cnn = "vision.cnn."
    ask(cnn + "output_size", 8, 3, 2, 1, 1)
    ask(cnn + "unfold", f(2, 3, 8, 8), (3, 3), 2, 1, 1, 0.0)
    ask(cnn + "conv2d", f(2, 3, 8, 8), f(4, 3, 3, 3), f(4), 2, 1, 1)
    ask(cnn + "spread", f(2, 3, 4, 4), 2)
    ask(cnn + "conv2d_backward", f(2, 4, 6, 6), f(2, 3, 8, 8), f(4, 3, 3, 3), 1, 0)
    ask(cnn + "max_pool2d", f(2, 3, 8, 8), 2, 2, 0)
    ask(cnn + "avg_pool2d", f(2, 3, 8, 8), 2, 2, 0)
    ask(cnn + "pool_windows", f(2, 3, 8, 8), 2, 2, 0, 0.0)
    ask(cnn + "receptive_field", [(3, 1, 1), (3, 2, 1)])
    ask(cnn + "ConvNet", [3, 8, 4], 5)
    ask(cnn + "ConvNet()", [3, 8, 4], 5, call=[f(2, 3, 8, 8)])
    spot = "vision.detection."
    boxes = torch.cat([f(2, 5, 2).abs(), 1 + f(2, 5, 2, seed=1).abs() * 9], -1)
    ask(spot + "box_area", boxes)
    ask(spot + "shared_area", boxes, boxes.flip(1))
    ask(spot + "pair_iou", boxes, boxes.flip(1))
    ask(spot + "generalised_iou", boxes, boxes.flip(1))
    ask(spot + "focal_loss", f(4, 3), (f(4, 3, seed=1) > 0).float(), 2.0, 0.25)
    ask(spot + "suppress", boxes, ints(2, 5), 0.5)
    ask(spot + "match_boxes", boxes, ints(2, 5), boxes.flip(1), ints(2, 5), 0.5)
    ask(spot + "average_precision", f(6), f(6, seed=1) > 0, 6, 11)
    seg, masks = "vision.segmentation.", f(2, 8, 8, seed=1) > 0
    ask(seg + "mask_iou", f(2, 8, 8) > 0, masks)
    ask(seg + "best_threshold", f(2, 8, 8).sigmoid(), masks, 4)
    ask(seg + "SmallUNet", 2, 4, 1)
    ask(seg + "SmallUNet()", 2, 4, 1, call=[f(2, 1, 8, 8)])
    ask(seg + "draw_crops", f(3, 2, 8, 8), 2, 4, g())
    ask(seg + "bend", f(2, 2, 8, 8), 1.0, g(), 3)
    ask(seg + "soft_dice_loss", f(2, 2, 8, 8), 1.0 * (f(2, 2, 8, 8, seed=1) > 0))
    ask(seg + "pixel_probabilities", nn.Conv2d(1, 2, 1), f(2, 1, 8, 8))
    NOT_ASKED[seg + "fit_unet"] = "its guards: tests/vision/test_segmentation.py"
    moved = "vision.transfer."
    ask(moved + "fit_from", f(6), f(4, 6, seed=1), f(4, seed=2))
    ask(moved + "transplant", nn.Linear(3, 2), nn.Linear(3, 2).state_dict(), ["bias"])
    ask(moved + "Frozen", nn.Linear(3, 2))
    ask(moved + "Frozen()", nn.Linear(3, 2), call=[f(4, 3)])
    ask(moved + "rate_groups", [nn.Linear(3, 2), nn.Linear(2, 2)], 0.1, 0.5)
    ask(moved + "fit_readout", f(8, 3), ints(8), 3, 0.1)
    arch = "vision.cnn_architectures."
    ask(arch + "lenet_squash", f(4))
    ask(arch + "Subsampling", 3)
    ask(arch + "Subsampling()", 3, call=[f(2, 3, 8, 8)])
    ask(arch + "SparseConv", [[0, 1], [1, 2]], 3)
    ask(arch + "SparseConv()", [[0, 1], [1, 2]], 3, call=[f(2, 3, 8, 8)])
    ask(arch + "lenet_table")
    ask(arch + "LeNet5()", f(10, 84), call=[f(2, 1, 32, 32)])
    for name in ("AlexNet", "VGG", "GoogLeNet"):
        NOT_ASKED[arch + name] = "made of torch's layers, whose own words name shapes; large"
    ask(arch + "conv_bn", 3, 4, 3, 1, 1)
    ask(arch + "conv_unit", 3, 4, 3, 1, 1)
    for name in ("LeNet5", "dense_head", "vgg_features", "Inception", "AuxiliaryHead"):
        NOT_ASKED[arch + name] = "made of torch's layers, whose own words name shapes"
    ask(arch + "halving_pool", 3)
    ask(arch + "imagenet_stem", 4)
    for name in ("PlainBlock", "ResidualBlock"):
        ask(arch + name, 3, 4, 2)
        ask(arch + name + "()", 3, 4, 2, call=[f(2, 3, 8, 8)])
    ask(arch + "HighwayBlock", 4, 4)
    ask(arch + "HighwayBlock()", 4, 4, call=[f(2, 4, 8, 8)])
    ask(arch + "ResNet", nn.Conv2d(3, 4, 1), [1, 1], [4, 8], 5)
    ask(arch + "ResNet()", nn.Conv2d(3, 4, 1), [1, 1], [4, 8], 5, call=[f(2, 3, 8, 8)])
    ask(arch + "multiply_adds", nn.Linear(4, 3), f(2, 4))
    later = "vision.after_resnet."
    ask(later + "factorised", f(4, 3, 3, 3), 2)
    ask(later + "BottleneckBlock", 4, 8, 2)
    ask(later + "BottleneckBlock()", 4, 8, 2, call=[f(2, 4, 8, 8)])
    ask(later + "in_eights", 20.5)
    for name in (
        *("conv_norm", "pooled_head", "norm_first", "separable", "ChannelNorm", "ConvNeXtBlock"),
        *("DenseLayer", "SqueezeExcitation", "SqueezedBlock", "SeparableBlock", "InvertedResidual"),
    ):
        NOT_ASKED[later + name] = "made of torch's layers, whose own words name shapes"
    for name in (
        *("resnet_of_bottlenecks", "densenet", "inverted_net", "scaled_efficientnet", "convnext"),
    ):
        NOT_ASKED[later + name] = "made of torch's layers, whose own words name shapes; large"
    auto = "generative.autoencoders."
    ask(auto + "unexplained", f(6, 4), f(6, 4, seed=1))
    ask(auto + "principal_components", f(9, 4), 2)
    ask(auto + "pca_copy", f(6, 4), f(4), f(4, 2))
    ask(auto + "principal_angles", f(5, 2), f(5, 2, seed=1))
    ask(auto + "conv_transpose2d", f(2, 4, 3, 3), f(4, 3, 3, 3), f(3), 2, 1)
    ask(auto + "roc_auc", f(8), ints(8, below=2))
    v = "generative.vae."
    ask(v + "kl_gaussians", f(4, 2), f(4, 2))
    ask(v + "log_normal", f(4, 2), f(4, 2), f(4, 2))
    ask(v + "reparameterise", f(4, 2), f(4, 2), f(4, 2))
    ask(v + "VAE", 2, (8,), torch.sigmoid, (1, 4, 4), 0.1)
    ask(v + "VAE().encode", 2, (8,), torch.sigmoid, (1, 4, 4), call=[f(3, 1, 4, 4)])
    ask(v + "VAE().decode", 2, (8,), torch.sigmoid, (1, 4, 4), call=[f(3, 2)])
    ask(v + "VAE().log_p", 2, (8,), torch.sigmoid, (1, 4, 4), call=[f(3, 1, 4, 4), f(3, 2)])
    ask(v + "VAE().sample", 2, (8,), torch.sigmoid, (1, 4, 4), call=[3, g()])
    from dlbook_utils.generative.gan import DigitDiscriminator, DigitGenerator
    from dlbook_utils.generative.vae import VAE

    small = VAE(2, (8,), shape=(1, 4, 4))
    ask(v + "elbo_terms", small, f(3, 1, 4, 4), f(3, 2))
    ask(v + "train_vae", VAE(2, (8,), shape=(1, 4, 4)), f(4, 1, 4, 4), 1, 0, size=2)
    ask(v + "fit_vae", f(4, 1, 4, 4), 2, 1, 0)
    gan = "generative.gan."
    ask(gan + "discriminator_loss", f(4), f(4))
    ask(gan + "generator_loss", f(4))
    NOT_ASKED[gan + "one_step"] = "takes an optimizer of torch"
    ask(gan + "power_iteration", f(3, 4), f(4, 1), 2)
    ask(gan + "largest_stretch", f(3, 4), f(4, 1))
    ask(gan + "SpectralNorm", f(3, 4), 2)
    ask(gan + "SpectralNorm()", f(3, 4), 2, call=[f(3, 4)])
    ask(gan + "DigitGenerator", 4, 2)
    ask(gan + "DigitGenerator()", 4, 2, call=[f(3, 4)])
    ask(gan + "DigitGenerator().sample", 4, 2, call=[3, g()])
    ask(gan + "DigitDiscriminator", 2)
    ask(gan + "DigitDiscriminator()", 2, call=[f(3, 1, 8, 8)])
    ask(
        gan + "fit_gan", DigitGenerator(4, 2), DigitDiscriminator(2), f(4, 1, 8, 8), steps=1, size=2
    )
    ask(gan + "train_judge", f(4, 1, 8, 8), ints(4), 0, 1)
    from dlbook_utils.vision.cnn import ConvNet

    ask(gan + "digit_features", ConvNet([1, 4], 3), f(4, 1, 8, 8))
    ask(gan + "matrix_root", f(4, 4) @ f(4, 4).T)
    S = torch.eye(3)
    ask(gan + "frechet_between", f(3), S, f(3, seed=1), S)
    ask(gan + "frechet_distance", f(8, 3), f(9, 3, seed=1))
    app = "generative.gan_applications."
    ask(app + "adain", f(2, 3, 4, 4), f(2, 3), f(2, 3), 1e-5)
    ask(app + "gram_matrix", f(2, 3, 4, 4))
    ask(app + "crossed", f(2, 4), f(2, 4, seed=1), 2)
    ask(app + "StyleGenerator", 4, 3, 5)
    NOT_ASKED[app + "draw_styled"] = "the method `draw` of StyleGenerator, which is asked"
    ask(app + "StyleGenerator().draw", 4, 3, 5, call=[[f(2, 5)] * 4])
    ask(app + "outlines", f(2, 1, 5, 5).sigmoid(), 0.1)
    ask(app + "StackedMLP", 2, (4, 3))
    ask(app + "StackedMLP()", 2, (4, 3), call=[f(2, 5, 4)])
    NOT_ASKED[app + "as_it_is"] = "a formula, entry by entry"
    ask(app + "Translator", 2, 4)
    ask(app + "Translator()", 2, 4, call=[f(2, 5, 4)])
    NOT_ASKED[app + "extra_loss"] = "takes two translators, called by fit_translators"
    ask(app + "fit_translators", f(5, 4), f(6, 4), steps=1, games=2, size=3)
    d = "generative.diffusion."
    from dlbook_utils.generative.diffusion import DenoisingUNet, linear_schedule

    abar = linear_schedule(10)
    unet = DenoisingUNet(1, 8, 0, 10, 8)
    ask(d + "linear_schedule", 10, 1e-4, 0.02)
    ask(d + "cosine_schedule", 10, 0.008)
    ask(d + "column", abar[:3], f(3, 2))
    ask(d + "add_noise", f(3, 2), f(3, 2), torch.rand(3, 1))
    ask(d + "target_of", "noise", f(3, 2), f(3, 2), torch.rand(3, 1))
    ask(d + "data_from", "noise", f(3, 2), f(3, 2), torch.rand(3, 1))
    a = torch.full((3, 1), 0.5)
    ask(d + "step_back", f(3, 2), f(3, 2), a, a + 0.2, 0.5, f(3, 2))
    ask(d + "go_back", lambda x, t: x * 0.9, f(3, 2), abar, 3, 0.5, g())
    ask(d + "wave_features", torch.rand(3), 4)
    ask(d + "TimedBlock", 8, 8, 4)
    ask(d + "TimedBlock()", 8, 8, 4, call=[f(2, 8, 4, 4), f(2, 4)])
    ask(d + "DenoisingUNet", 1, 8, 0, 10, 8)
    ask(d + "DenoisingUNet()", 1, 8, 3, 10, 8, call=[f(2, 1, 4, 4), torch.tensor([2, 3]), ints(2)])
    ask(d + "top_level", abar)
    ask(d + "fit_diffusion", unet, f(4, 1, 4, 4), abar=abar, steps=1, size=2)
    NOT_ASKED[d + "follow"] = "takes two networks"
    NOT_ASKED[d + "class_mixtures"] = "fits scikit-learn's mixtures, whose own words name shapes"
    ask(d + "denoiser", unet, abar, "velocity")
    ask(d + "precision_coverage", f(8, 2), f(9, 2, seed=1), 2)
    parts = (f(3, 2), torch.tensor([1.0, 2.0, 1.0]), 0.3)
    ask(d + "Mixture", *parts)
    ask(d + "Mixture().sample", *parts, call=[5, g()])
    ask(d + "Mixture().log_parts", *parts, call=[f(4, 2), torch.tensor(0.5)])
    ask(d + "Mixture().denoise", *parts, call=[f(4, 2), torch.tensor(0.5)])
    ask(d + "sliced_distance", f(8, 2), f(8, 2, seed=1), g(), 4)
    ask(d + "MLPsSideBySide", 2, [3, 4, 2])
    ask(d + "MLPsSideBySide()", 2, [3, 4, 2], call=[f(2, 5, 3)])
    ask(d + "with_level", f(2, 5, 3), torch.rand(2, 5))
    fl = "generative.flows."
    from dlbook_utils.generative.diffusion import MLPsSideBySide

    half = nn.Linear(2, 4)
    ask(fl + "log_standard", f(5, 3))
    ask(fl + "affine_coupling", f(5, 4), half)
    ask(fl + "undo_coupling", f(5, 4), half)
    ask(fl + "CouplingFlow", 2, 2, 4, 8)
    ask(fl + "CouplingFlow()", 2, 2, 4, 8, call=[f(2, 5, 4)])
    ask(fl + "CouplingFlow().log_prob", 2, 2, 4, 8, call=[f(2, 5, 4)])
    la = "generative.latent."
    ask(la + "pass_through", f(4, 3), f(4, 3, seed=1))
    ask(la + "codebook_loss", f(4, 3), f(4, 3, seed=1), beta=0.25)
    ask(la + "VQVAE", 5, 3, 4)
    ask(la + "VQVAE()", 5, 3, 4, call=[f(2, 3, 8, 8)])
    ask(la + "VQVAE().encode", 5, 3, 4, call=[f(2, 3, 8, 8)])
    ask(la + "VQVAE().decode", 5, 3, 4, call=[f(2, 4, 3)])
    ask(la + "guide", f(3, 5), f(3, 5, seed=1), 2.0)
    for name in ("quantise", "revive_codes"):
        NOT_ASKED[la + name] = "outputs of any number of axes: tests/generative/test_latent.py"
    NOT_ASKED[fl + "train_flow"] = "takes a loss that is a function: tests/generative/test_flows.py"
    ask(fl + "matching_loss", MLPsSideBySide(2, [18, 4, 2]), f(2, 5, 2), f(2, 5, 2, seed=1), g())
    NOT_ASKED[fl + "velocity_of"] = "asked when the function that it makes is called"
    ask(fl + "follow_velocity", lambda x, u: x * u, f(5, 2), 3)
    ask(fl + "velocity_and_trace", lambda x, u: x * u, f(5, 2), 0.5)
    ask(fl + "log_density_along", lambda x, u: x * u, f(5, 2), 3, 0.5)
    t = "transformers.transformer."
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    ask(t + "attention", f(2, 5, 4), f(2, 5, 4), f(2, 5, 3), mask)
    ask(t + "causal_mask", 5)
    ask(t + "sinusoids", 5, 4)
    ask(t + "MultiHeadAttention", 4, 2)
    ask(t + "MultiHeadAttention()", 4, 2, call=[f(2, 5, 4), f(2, 5, 4), mask])
    ask(t + "FeedForward", 4, 8)
    ask(t + "FeedForward()", 4, 8, call=[f(2, 5, 4)])
    ask(t + "AddNorm", 4)
    ask(t + "EncoderBlock", 4, 2, 8)
    ask(t + "EncoderBlock()", 4, 2, 8, call=[f(2, 5, 4), mask])
    ask(t + "DecoderBlock", 4, 2, 8)
    ask(t + "DecoderBlock()", 4, 2, 8, call=[f(2, 5, 4), f(2, 3, 4)])
    ask(t + "TokenEmbedding", 7, 4)
    ask(t + "TokenEmbedding()", 7, 4, call=[ints(2, 5)])
    ask(t + "Transformer", 7, 6, 4, 2, 8, 1)
    ask(t + "Transformer()", 7, 6, 4, 2, 8, 1, call=[ints(2, 5) + 1, ints(2, 4)])
    m = "transformers.language_models."
    from dlbook_utils.transformers.language_models import GPT, draw_blocks

    gpt = GPT(7, 6, 4, 2, 1)
    ask(m + "Characters", "abc")
    ask(m + "Characters().encode", "abc", call=["cab"])
    ask(m + "Characters().decode", "abc", call=[[0, 2]])
    ask(m + "merge", [1, 2, 3], (1, 2), 9)
    ask(m + "learn_merges", "to be or not to be", 3)
    ask(m + "BPE", [(116, 111), (256, 32)])
    ask(m + "BPE().encode", [(116, 111)], call=["to be"])
    ask(m + "BPE().decode", [(116, 111)], call=[[256, 32]])
    NOT_ASKED[m + "start_small"] = "takes a network that GPT made"
    NOT_ASKED[m + "adamw_for"] = "takes a network"
    ask(m + "GPT", 7, 6, 4, 2, 1)
    ask(m + "GPT()", 7, 6, 4, 2, 1, call=[ints(2, 5)])
    ask(m + "draw_blocks", ints(20), 2, 5, g())
    text = ints(20)
    ask(
        m + "train_language_model", GPT(7, 6, 4, 2, 1), partial(draw_blocks, text, 2, 5), 1, 1e-3, 0
    )
    ask(m + "token_losses", gpt, ints(20), 5, 2)
    ask(m + "next_probabilities", f(2, 7), 1.0, 3, 0.9)
    ask(m + "read_on", gpt, ints(2, 5))
    ask(m + "generate", gpt, ints(2, 5), 2, g(), 1.0, 3, 0.9)
    spaces, like = "transformers.state_space.", (f(2, 6, 3).sigmoid(), f(2, 6, 3))
    NOT_ASKED[spaces + "combine"] = "takes pairs of what can be multiplied and added"
    ask(spaces + "scan_by_steps", *like)
    ask(spaces + "scan_by_doubling", *like)
    ask(spaces + "scan_by_chunks", *like, 3)
    ask(spaces + "linear_scan", *like)
    NOT_ASKED[spaces + "LinearScan"] = "behind linear_scan"
    ask(spaces + "convolve_by_fft", f(2, 6, 3), f(6, 3))
    ask(spaces + "legs_matrix", 4)
    ask(spaces + "start_steps", 4)
    ask(spaces + "DiagonalSSM", 4, 3)
    ask(spaces + "DiagonalSSM()", 4, 3, call=[f(2, 6, 4)])
    ask(spaces + "SelectiveSSM", 4, 3, ("step",))
    ask(spaces + "SelectiveSSM()", 4, 3, call=[f(2, 6, 4)])
    NOT_ASKED[spaces + "MambaBlock"] = "takes a part of a network"
    modern = "transformers.modern."
    from dlbook_utils.transformers import modern as today

    ask(modern + "rotate", f(2, 5, 4), 1, 100.0)
    ask(modern + "place_bias", 5, 3, torch.tensor([0.5, 0.25]))
    ask(modern + "GroupedAttention", 8, 4, 2)
    ask(modern + "GroupedAttention()", 8, 4, 2, call=[f(2, 5, 8)])
    ask(modern + "SwiGLU", 4, 8)
    ask(modern + "SwiGLU()", 4, 8, call=[f(2, 5, 4)])
    NOT_ASKED[modern + "ModernBlock"] = "takes two parts of a network"
    ask(modern + "ModernGPT", 7, 4, [], torch.nn.Identity())
    ask(modern + "ModernGPT()", 7, 4, [], torch.nn.Identity(), call=[ints(2, 5)])
    ask(modern + "mild_sinusoids", 5, 4)
    ask(modern + "BlockOf2017", 4, 2, 8)
    ask(modern + "BlockOf2017()", 4, 2, 8, call=[f(2, 5, 4)])
    ask(modern + "gpt_of_2017", 7, 8, 1, True, 2)
    ask(modern + "modern_gpt", 7, 12, 1, "alibi", True, 2, 3, 2)
    ask(modern + "tiled_attention", f(2, 5, 4), f(2, 5, 4), f(2, 5, 4), 2)
    ask(modern + "Experts", 4, 6, 3, 2, 0.1)
    ask(modern + "Experts()", 4, 6, 3, 2, call=[f(2, 5, 4)])
    p = torch.full((3, 4), 0.25)
    ask(modern + "verify_draft", p, p[:2], ints(2), g())
    small = today.modern_gpt(7, 8, 1, heads=2, groups=2).eval()
    ask(modern + "speculate", small, small, ints(4), 3, 2, g())
    after = "transformers.after_pretraining."
    words, no_book = ints(4, 3), torch.zeros(4).bool()
    ask(after + "four_answers", words)
    ask(after + "task_lines", words, ints(4), ints(4), no_book)
    ask(after + "draw_lines", words, 5, 0.3, g())
    NOT_ASKED[after + "all_words"] = "takes a device"
    ask(after + "obedient_lines", words)
    ask(after + "answer_log_probs", gpt, ints(2, 6), 3)
    NOT_ASKED[after + "LowRank"] = "takes a layer: tests/transformers/test_after_pretraining.py"
    NOT_ASKED[after + "add_low_rank"] = "takes a network"
    ask(after + "tilted", f(2, 5), f(2, 5), 0.5)
    ask(after + "dpo_loss", f(4), f(4), f(4), f(4), 0.5)
    vit = "transformers.vit."
    from dlbook_utils.transformers.vit import ViT

    ask(vit + "patches_of", f(2, 3, 8, 8), 4)
    ask(vit + "image_of", f(2, 4, 48), 4)
    ask(vit + "ViT", 8, 4, 4, 2, 8, 1, 3, 5)
    ask(vit + "ViT()", 8, 4, 4, 2, 8, 1, 3, 5, call=[f(2, 3, 8, 8)])
    ask(vit + "attention_maps", ViT(8, 4, 4, 2, 8, 1), f(2, 3, 8, 8))
    ask(vit + "attention_distance", torch.rand(2, 3, 4, 4), 4)
    ask(vit + "rollout", [torch.rand(2, 3, 5, 5).softmax(-1)])
    s = "study.cifar10."
    ask(s + "harmonic", 0.5, 0.7)
    ask(s + "chance_of_match", 0.9, 0.8, 0.847, 0.005, 20)
    ask(s + "class_scores", [[3, 1], [2, 4]])
    ask(s + "two_macro_f1", [[3, 1], [2, 4]])
    ask(s + "least_difference", 0.9, 0.8, 0.005, 0.005)
    ask(s + "accuracy_error", 0.9, 100)
    ask(s + "paired_error", 0.9, 0.8, 0.2, 100)
    ask(s + "mcnemar", 6, 4)
    ask(s + "reliability", f(9, 3), ints(9), 5)
    ask(s + "calibration_error", f(9, 3), ints(9), 5)
    aug = "data.augment."
    x = torch.rand(3, 3, 8, 8)
    ask(aug + "draw_shifts", 3, 2, g())
    ask(aug + "apply_shift_crop", x, ints(3, 2), 2)
    ask(aug + "shift_crop", x, 2, generator=g())
    ask(aug + "draw_flips", 3, 0.5, g())
    ask(aug + "apply_flip", x, ints(3) > 0)
    ask(aug + "flip", x, 0.5, generator=g())
    ask(aug + "draw_angles", 3, 15.0, g())
    ask(aug + "apply_rotate", x, f(3))
    ask(aug + "rotate", x, 15.0, generator=g())
    ask(aug + "draw_centres", 3, 8, 8, g())
    ask(aug + "apply_cutout", x, ints(3, 2), 4, 0.0)
    ask(aug + "cutout", x, 4, 0.0, generator=g())
    p = "page.guards."
    ask(p + "check_count", 3, "n")
    ask(p + "check_batches", nn.Linear(4, 3), f(6, 4), 2)
    ask(p + "check_shape", f(6, 4), (6, 4))
    ask(p + "check_boxes", torch.cat([f(6, 2), f(6, 2) + 1], 1), (6, 4), "boxes")
    ask(p + "check_finite", f(6, 4), "x")
    ask(p + "check_ids", ints(6), 3, "ids")
    ask(p + "check_between", f(6, 4).abs(), 0, 9, "x")
    ask(p + "check_state", f(6, 4), f(6, 4))
    ask(p + "check_sides", f(2, 1, 4, 4), 2)
    ask(p + "widened", f(4))
    ask(p + "check_inputs", f(6, 4), ints(6))
    ask(p + "checked_pair", (f(6, 4), ints(6)))
    ask(p + "check_data", f(6, 4), ints(6))
    ask(p + "check_scores", f(6, 3), ints(6))
    ask(p + "check_labels", f(6, 3), ints(6))
    ask(p + "check_lengths", torch.tensor([2, 3]), 2, 3)
    ask(p + "check_loss", torch.tensor(0.5), 1, 1)
    ask(p + "check_number", torch.tensor(0.5))
    ask("page.devices.device", "cpu")
    ask("page.devices.budget", cpu=1, gpu=2)
    ask("page.devices.seed_everything", 3)
    ask("page.devices.generator", 3)
    draw = "page.plotting."
    history = [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.4}]
    ask(draw + "learning_curves", [history])
    ask(draw + "image_grid", torch.rand(2, 1, 4, 4), None, 2)
    ask(draw + "decision_regions", lambda p: p[:, 0].gt(0).long(), f(6, 2), ints(6), None, 9)
    ask(draw + "heat_map", f(3, 4))
    ask(draw + "intervals", ["a", "b"], [0.5, 0.6], [0.1, 0.1])


enter()


# The variants


def variants(value):
    """Yield pairs (kind, bad value)."""
    if isinstance(value, torch.Tensor):
        yield from tensors(value)
    elif isinstance(value, np.ndarray):
        yield "wrong type", "x"
        yield "half", value.astype(np.float16)
        yield "nan", value * np.nan
        yield "empty", value[:0]
        yield "wrong shape: an axis less", value[0]
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        yield "numpy", np.int64(value)
        yield "numpy, a byte", np.uint8(value)
        yield "wrong type: half", value + 0.5
        yield "wrong type", "x"
        yield "out of range: negative", -value - 1
    elif isinstance(value, float):
        yield "numpy", np.float64(value)
        yield "wrong type", "x"
        yield "nan", float("nan")
    elif isinstance(value, str):
        yield "wrong type", 3.5
    elif isinstance(value, (list, tuple)):
        yield "empty", type(value)()
        yield "wrong type", 3.5


def tensors(x):
    if x.ndim:
        yield "wrong shape: an axis less", x[0]
        yield "wrong shape: a column more", torch.cat([x, x[..., :1]], -1)
        yield "wrong shape: a row more", torch.cat([x, x[:1]])
        yield "empty", x[:0]
    yield "wrong shape: an axis more", x[None]
    yield "wrong type", x.tolist()
    yield "wrong type: text", "x"
    yield "meta", x.to("meta")
    if x.is_floating_point():
        yield "half", x.half()
        yield "half: bfloat16", x.bfloat16()
        yield "nan", x * torch.nan
        yield "too large", x * 1e30
        yield "wrong type: bytes", x.byte()
    elif x.dtype == torch.int64:
        yield "wrong type: floats", x + 0.5
        yield "out of range: negative", -x - 1
        yield "out of range: too large", x + 1_000_000
        yield "wrong type: bytes", x.byte()


WORDS = {  # what a message about a variant of this kind may name, beside the value itself
    "wrong shape": r"\bshape|\bsize|dimension|channel|\bdim|expected|axes|\d",
    "wrong type": r"shape|type|not |must be|should be|expected|list|str|float|byte|int|char",
    "empty": r"0x|x0|empty|\b0\b|at least|or more|non-zero|\[\]|\(\)|no ",
    "meta": r"meta|device|storage",
    "half": r"half|float|dtype|bfloat16|precision",
    "numpy": r"$^",
    "nan": r"nan|not a number|finite|integer|converge|singular",
    "too large": r"nan|inf|finite|large|converge|singular|must lie in",
    "out of range": r"-\d|range|negative|non-negative|\d",
}
OBSCURE = re.compile(  # Python's words about its own business
    r"^(not enough values to unpack|too many values to unpack|list index out|pop from|"
    r"'\w+' object is not callable|local variable|division by zero|float division|"
    r"integer (modulo|division)|math domain|tuple index|min\(\) arg|max\(\) arg|"
    r"max\(\) iterable|random_ expects|stack expects|cannot unpack)"
)


class TooSlow(Exception):
    pass


def numbers(result):
    """Return all tensors of floats in a result, in order, and all other numbers."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, np.ndarray):
        return [torch.as_tensor(result)]
    if isinstance(result, (int, float, np.number)):
        return [torch.as_tensor(float(result))]
    if isinstance(result, dict):
        return [n for value in result.values() for n in numbers(value)]
    if isinstance(result, (list, tuple)):
        return [n for value in result for n in numbers(value)]
    if isinstance(result, nn.Module):
        return [*result.state_dict().values()]
    return numbers(getattr(result, "data", None)) if hasattr(result, "data") else []


def near(a, b, tolerance):
    a, b = numbers(a), numbers(b)
    return len(a) == len(b) and all(
        x.shape == y.shape
        and (x.device.type == "meta" or torch.allclose(
            x.double(), y.double(), rtol=tolerance, atol=tolerance, equal_nan=True
        ))
        for x, y in zip(a, b, strict=True)
    )  # fmt: skip


def run(name, place, kind):
    """Call with one argument exchanged; return the result, of an update rule the parameter."""
    target, args, options = CALLS[name]()
    where = args if isinstance(place, int) else options
    if kind is not None:
        where[place] = dict(variants(where[place]))[kind]
        if kind.startswith("half") and isinstance(where[place], torch.Tensor):
            widen = where[place].dtype
            owner = target if isinstance(target, nn.Module) else getattr(target, "__self__", None)
            if isinstance(owner, nn.Module):
                owner.to(widen)
            args = [
                a.to(widen) if isinstance(a, torch.Tensor) and a.is_floating_point() else a
                for a in args
            ]
    for part in [*args, *options.values()]:
        if isinstance(part, torch.Generator):
            part.manual_seed(0)
    torch.manual_seed(0)
    result = target(*args, **options)
    if inspect.isgenerator(result):
        return list(result)
    return args[0] if name.startswith("foundations.optimisation") and result is None else result


def too_slow(*_):
    raise TooSlow


def outcome(name, place, kind):
    """Return what became of a variant, one word, and the evidence."""
    before = signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(20)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = run(name, place, kind)
            said = judged(name, place, kind, result)
    except TooSlow:
        said = "obscure", "it never ends"
    except Exception as error:
        said = worded(kind, error, name, place)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        if "plotting" in name:
            import matplotlib.pyplot as plt

            plt.close("all")
    return said


def worded(kind, error, name, place):
    message = f"{type(error).__name__}: {error}"
    words = WORDS[kind.split(":")[0].split(",")[0]]
    own = isinstance(error, (ValueError, TypeError, KeyError)) or "Failed" in message
    if OBSCURE.match(str(error)) or not str(error):
        return "obscure", message
    _, args, options = CALLS[name]()
    value = dict(variants((args if isinstance(place, int) else options)[place]))[kind]
    named = re.search(words, message, re.IGNORECASE) or str(value)[:40] in message
    named = (
        named or isinstance(error, (AttributeError, TypeError)) and type(value).__name__ in message
    )
    return ("clear" if own else "torch's words") if named else "obscure", message


def judged(name, place, kind, result):
    """Whether a result may stand for a variant that was not refused."""
    found = numbers(result)
    right = None
    if kind.startswith(("numpy", "half")) and kind != "wrong type: half":
        plain = run(name, place, None)
        right = near(result, plain, 1e-6 if kind.startswith("numpy") else 0.1)
    elif kind == "nan":
        right = not found or any((~n.double().isfinite()).any() for n in found if n.numel())
    elif kind == "meta":
        right = any(n.device.type == "meta" for n in found)
    elif kind == "too large":
        right = True
    elif kind == "wrong shape: a row more":
        _, args, options = CALLS[name]()
        held = [v for v in [*args, *options.values()] if isinstance(v, (torch.Tensor, tuple))]
        right = len(held) == 1  # examples may be as many as one likes
    elif kind == "empty":
        right = bool(found) and all(
            n.numel() == 0 or not n.double().isfinite().all() for n in found
        )
    if right:
        return "right", ""
    return "silent", f"{[tuple(n.shape) for n in found]}"[:100]


def cases(only=None):
    for name in [only] if only else CALLS:
        _, args, options = CALLS[name]()
        places = [*enumerate(args), *options.items()]
        for place, value in places:
            for kind, _ in variants(value):
                yield name, place, kind


WIDER = "images, texts and tables of any width are welcome: the valid call had one of them"
FORMULA = "a formula, entry by entry: it broadcasts as its symbols do, and integers are promoted"
BATCH = "more axes, or none, count examples: (..., d)"
LAZY = "PyTorch's layer keeps what it is given, and asks when it is called"
MIXED = (
    "PyTorch itself lets this operation mix meta with the CPU; there is nothing in it to compute"
)
ANY_TIME = "a schedule is a function of time: any real number, before the start and after the end"
MOVES = "moves entries about, or draws them, whatever numbers they are"
WHOLE_OR_NOT = "nothing in it needs whole numbers"
EXCUSED = {  # "function argument variant": why it may pass
    r"(vision|data\.augment|generative\.(gan|diffusion)|transformers\.language_models|"
    r"study|page|transformers\.transformer)\.\S+ \S+ wrong shape: a column more": WIDER,
    r"sequences\.rnn\.(contexts|Ngrams\(\)|CharacterModel\(\)|sequence_loss) 0 "
    r"wrong shape: a column more": WIDER,
    r"foundations\.(regularisation|optimisation\.newton|gradient_flow\.standard)\S+ 0 "
    r"wrong shape: a column more": WIDER,
    r"(generative\.autoencoders|sequences\.forecasting|practice\.classical)\.\S+ \d "
    r"wrong shape: a column more": WIDER,
    r"sequences\.speech\.(spectrogram|ctc_\w+) \d wrong shape: a column more": WIDER,
    r"sequences\.speech\.(collapse|edit_distance) .*": "sequences of anything that can be equal",
    r"sequences\.embeddings\.(cooccurrences|pmi) 0 wrong shape: a column more": WIDER,
    r"sequences\.embeddings\.cooccurrences 0 out of range: negative": "what is negative is no word",
    r"sequences\.embeddings\.negative_sampling_loss 1 wrong type.*": FORMULA,
    r"generative\.flows\.\w+ \d wrong shape: a column more": WIDER,
    r"generative\.vae\.fit_vae 0 wrong shape.*": "pictures of any shape are welcome",
    r"generative\.(vae\.(kl_gaussians|log_normal|reparameterise|VAE\(\)\.log_p)|diffusion\."
    r"(add_noise|step_back|target_of|data_from|column|wave_features)) \d (wrong|nan).*": FORMULA,
    r"foundations\.regularisation\.(soft_threshold|thin|smooth_targets|Dropout\(\)) .*": FORMULA,
    r"foundations\.optimisation\.(?!Descent|muon|newton)\w+ [01] wrong .*": FORMULA,
    r"vision\.cnn_architectures\.lenet_squash .*": FORMULA,
    r"generative\.autoencoders\.(pca_copy|unexplained|principal_angles) .*": FORMULA,
    r"generative\.gan\.(frechet_between|power_iteration|largest_stretch|matrix_root) "
    r"\d (wrong|empty).*": FORMULA,
    r"generative\.gan\.(discriminator|generator)_loss .*": "a mean over scores of any shape",
    r"transformers\.transformer\.(attention|MultiHeadAttention\(\)|EncoderBlock\(\)|"
    r"FeedForward\(\)) \d wrong shape.*": BATCH,
    r"foundations\.gradient_flow\.(LayerNorm\(\)|RMSNorm\(\)|standardise_over) .*": BATCH,
    r"transformers\.language_models\.next_probabilities 0 wrong.*": BATCH,
    r"(vision\.cnn\.(max_pool2d|avg_pool2d|pool_windows|unfold|spread)|data\.augment\.\w+|"
    r"transformers\.vit\.(image_of|patches_of)|page\.plotting\.\w+|sequences\.rnn\.contexts|"
    r"sequences\.forecasting\.cut_windows|"
    r"transformers\.language_models\.draw_blocks) \d (wrong type|out of range).*": MOVES,
    r".* meta": MIXED,
    r"vision\.cnn_architectures\.\S+ \d (wrong type|out of range).*": LAZY,
    r"vision\.after_resnet\.Bottleneck\S+ \d (wrong type|out of range).*": LAZY,
    r"foundations\.optimisation\.Descent 2 wrong type": "the first step refuses it",
    r"foundations\.optimisation\.(step_decay|cosine|warm_up|triangular|one_cycle) .*": ANY_TIME,
    r".* wrong type: half": WHOLE_OR_NOT,
    r"vision\.segmentation\.draw_crops 0 wrong type.*": MOVES,
    r"vision\.transfer\.fit_from 2 wrong type.*": FORMULA,
    r"vision\.transfer\.fit_readout 1 wrong type: bytes": "cross-entropy takes bytes for labels",
    r"vision\.transfer\.(transplant 2|rate_groups 0) empty": "nothing comes of nothing",
    r"vision\.transfer\.Frozen\(\) 0 wrong shape.*": "what it wraps is asked",
    r"vision\.segmentation\.(soft_dice_loss|best_threshold) \d wrong type.*": FORMULA,
    r"generative\.diffusion\.denoiser [12] .*": "asked when the function that it makes is called",
    r"generative\.diffusion\.\S+ (abar|[12]) wrong shape: a row more": "a longer schedule is one",
    r"(vision\.cnn\.receptive_field|sequences\.rnn\.Alphabet|generative\.vae\.VAE|"
    r"generative\.diffusion\.MLPsSideBySide|"
    r"vision\.cnn_architectures\.SparseConv|transformers\.language_models\.\S+|"
    r"sequences\.rnn\.Alphabet\(\)\.\w+|foundations\.\S+) \d empty": "nothing comes of nothing",
    r"transformers\.language_models\.merge [12] .*": "any pair, any new id",
    r"page\.devices\.budget .*": "hands on whatever it is given",
    r"page\.guards\.check_(shape|boxes|state|data|inputs|sides|batches|labels|lengths|scores|count|"
    r"loss|number|finite|between|ids|edges) "
    r".*": "a guard asks what its name says, and nothing else: tests/page/test_guards.py",
    r"page\.guards\.widened .*": "any tensor",
    r"page\.plotting\.decision_regions 2 .*": "labels take colours in turn, whatever their numbers",
    r"foundations\.backprop\.Node .*": "an array of any shape is a node",
    r"sequences\.rnn\.CharacterModel\(\) .* too large": "F.one_hot says it",
    r"foundations\.regularisation\.\w+ .* too large": "F.one_hot says it",
    r"vision\.cnn_architectures\.multiply_adds .*": "what is counted depends on shapes alone",
    r"vision\.detection\.(box_area|shared_area|pair_iou) \d wrong shape: an axis .*": BATCH,
    r"vision\.detection\.(suppress|match_boxes) [13] .*": "labels are compared, and nothing else",
    r"vision\.detection\.average_precision 0 wrong type: bytes": "scores are ordered by",
    r"sequences\.lstm\.zero_state 0 (nan|wrong type: bytes)": "only shape, kind and place are read",
}
EXCUSED |= {
    r"beyond\.self_supervised\.contrastive_loss [01] wrong type: bytes": "joined with floats",
    r"beyond\.self_supervised\.effective_rank 0 wrong shape: a column more": WIDER,
    r"beyond\.self_supervised\.effective_rank 0 empty": "nothing has no spread: rank 1, the least",
    r"transformers\.state_space\.(scan_by_\w+|linear_scan) \d wrong type: bytes": FORMULA,
    r"transformers\.state_space\.convolve_by_fft 1 wrong type: bytes": FORMULA,
    r"transformers\.state_space\.convolve_by_fft 0 wrong shape: a row more": BATCH,
    r"transformers\.state_space\.SelectiveSSM 2 empty": "nothing selects, then",
    r"transformers\.modern\.(rotate|SwiGLU\(\)) 0 wrong shape: an axis.*": BATCH,
    r"transformers\.modern\.rotate 1 out of range: negative": "turning back is turning, too",
    r"transformers\.modern\.place_bias 2 wrong shape: a column more": "heads may be many",
    r"transformers\.modern\.ModernGPT 2 empty": "a table without blocks is a bigram model",
    r"transformers\.modern\.(ModernGPT\(\) 0|speculate 2) wrong shape: a column more": WIDER,
    r"transformers\.modern\.tiled_attention 0 wrong type: bytes": "a quotient is a float",
    r"transformers\.modern\.verify_draft 1 empty": "p says how many rows it lacks",
    r"transformers\.after_pretraining\.(tilted|dpo_loss) \d wrong type: bytes": FORMULA,
    r"transformers\.after_pretraining\.answer_log_probs 1 wrong shape: a column more": WIDER,
    r"generative\.diffusion\.Mixture(\(\)\.\w+)? [01] wrong type: bytes": FORMULA,
    r"generative\.diffusion\.Mixture\(\)\.\w+ [01] wrong shape: an? (axis|row).*": BATCH,
    r"generative\.(diffusion\.with_level [01]|flows\.matching_loss [12]) wrong type: b.*": FORMULA,
    r"generative\.flows\.(log_standard|\w+_coupling) 0 wrong shape: an axis.*": BATCH,
    r"generative\.flows\.(follow_velocity|\w+_trace|\w+_along) 1 wrong.*": "any shape",
    r"transformers\.graphs\.\S+ \d wrong shape: a (column|row) more": "a larger graph",
    r"transformers\.graphs\.count_nodes 0 out of range: too large": "a larger graph",
    r"transformers\.graphs\.(GCN|GAT)\(\) 1 out of range: too large": "a larger graph",
    r"transformers\.graphs\.pass_messages 2 wrong type: bytes": FORMULA,
    r"practice\.classical\.(boost_stumps 1|train_\w+ 2) wrong type: bytes": WHOLE_OR_NOT,
    r"practice\.classical\.train_rival 2 out of range.*": "scikit-learn takes any whole labels",
    r"practice\.classical\.train_rival 4 .*": "only a network takes steps, and asks then",
    r"practice\.classical\.classical_model 1 .*": "asked for its size and spread; fit refuses it",
    r"practice\.classical\.boosted_scores 2 empty": "without stumps there is the first score",
    r"practice\.classical\.rival_net (1 empty|3 nan)": LAZY,
    r"practice\.efficiency\.(decode_float|largest_mask|ViewedLinear\(\)) 0 wrong shape.*": BATCH,
    r"practice\.efficiency\.(fake_quantise|grid_step) 0 wrong shape: a column more": WIDER,
    r"practice\.own_data\.rate_test 2 wrong type: bytes": "PyTorch's loss takes such labels, too",
    r"practice\.own_data\.FromBytes\(\) 0 wrong shape: a column more": WIDER,
    r"practice\.own_data\.FromBytes\(\) 0 wrong type: bytes": "bytes are what it is for",
    r"beyond\.reinforcement\.(advantages|clipped_loss) [012] wrong type: bytes": FORMULA,
    r"beyond\.reinforcement\.interquartile_mean 0 wrong shape.*": BATCH,
    r"beyond\.reinforcement\.bootstrap_interval 0 wrong shape: a column more": "a run more",
    r"sequences\.music\.ChordHead\(\)\.draw 0 wrong shape.*": BATCH,
    r"sequences\.music\.voice_moves 0 wrong shape: a column more": WIDER,
    r"sequences\.music\.(voice_moves|broken_rules) [01] (wrong type|out of range).*": MOVES,
    r"vision\.cnn\.(unfold|conv2d) 0 wrong shape: a row more": "examples may be many",
    r"vision\.cnn\.unfold 1 empty": "says that it wants two",
    r"vision\.cnn\.conv2d 2 wrong type: bytes": "a sum promotes integers",
    r"vision\.cnn\.pool_windows 4 nan": "the fill is not seen without padding",
    r"generative\.autoencoders\.conv_transpose2d 1 wrong type: text": "it has a length",
    r"foundations\.optimisation\.muon 1 wrong type: bytes": "gradients have their parameter's type",
    r"foundations\.optimisation\.lion 1 nan": "PyTorch's sign of NaN is 0",
    r"(generative\.(autoencoders\.(roc_auc|conv_transpose2d)|gan\.frechet_distance|vae\.elbo_terms)"
    r"|study\.cifar10\.(reliability|calibration_error)) \d wrong type: bytes": "promoted",
    r"generative\.(gan\.frechet_distance [01]|diffusion\.precision_coverage 0|"
    r"autoencoders\.conv_transpose2d 0) wrong shape: a row more": "examples may be many",
    r"generative\.gan\.SpectralNorm 0 wrong shape: an axis more": "(m, ...) counts as a matrix",
    r"foundations\.gradient_flow\.batch_axes 0 (nan|wrong type: bytes)": "only the shape is read",
    r"(foundations\.backprop\.numeric_gradient|generative\.diffusion\.go_back) 1 "
    "wrong shape: an.*": "arrays of any shape",
    r"generative\.gan\.SpectralNorm 0 empty": "a weight of no rows is one",
    r"generative\.gan_applications\.(adain|gram_matrix|outlines) 0 wrong shape: a column.*": WIDER,
    r"generative\.gan_applications\.adain [12] wrong type: bytes": FORMULA,
    r"generative\.gan_applications\.(crossed|outlines) [01] wrong type: bytes": MOVES,
    r"generative\.gan_applications\.fit_translators [01] wrong shape: a row.*": "as many as wanted",
    r"generative\.diffusion\.wave_features 0 half.*": "u itself is rounded: other waves",
    r"generative\.diffusion\.DenoisingUNet\(\) [12] wrong shape: an axis less": "one for all",
    r"generative\.diffusion\.DenoisingUNet\(\) 1 wrong type: (floats|bytes)": "a level is a number",
}


def excused(name, place, kind):
    """Return the reason why this variant need not be refused, or None."""
    for pattern, reason in EXCUSED.items():
        if re.fullmatch(pattern, f"{name} {place} {kind}"):
            return reason
    return None


def walked():
    """The public functions and classes of the modules that are asked."""
    for name in MODULES:
        module = importlib.import_module(f"dlbook_utils.{name}")
        for attribute, value in vars(module).items():
            ours = getattr(value, "__module__", None) == module.__name__
            if ours and not attribute.startswith("_") and callable(value):
                yield f"{name}.{attribute}"


def test_every_module_is_asked_or_said_why_not():
    found = pkgutil.walk_packages(dlbook_utils.__path__, "dlbook_utils.")
    names = {m.name.removeprefix("dlbook_utils.") for m in found if not m.ispkg}
    known = (*MODULES, *OTHERS)
    assert not [n for n in names if not any(n == k or n.startswith(f"{k}.") for k in known)]


def test_every_public_function_has_a_call_or_a_reason():
    entered = {name.split("()")[0] for name in CALLS}
    left = [
        name
        for name in walked()
        if name not in entered | set(NOT_ASKED) and not re.search(r"backprop\.\w+_nodes?$", name)
    ]
    left = [name for name in left if name.split(".")[-1] not in ("Draw", "State", "Rate", "Pair")]
    assert left == [], "give each a valid call in CALLS"


def test_no_entry_is_of_something_that_is_gone():
    there = set(walked())
    assert {name.split("()")[0] for name in CALLS} | set(NOT_ASKED) <= there


@pytest.mark.parametrize("name", CALLS)
def test_the_valid_call_is_valid(name):
    target, args, options = CALLS[name]()
    target(*args, **options)


@pytest.mark.parametrize("name", CALLS)
def test_what_is_bad_is_refused_or_answered_rightly(name):
    bad = []
    for case in cases(name):
        word, evidence = outcome(*case)
        if word in ("silent", "obscure") and not excused(*case):
            bad.append(f"{word}: argument {case[1]!r}, {case[2]}: {evidence[:200]}")
    assert not bad, "\n".join(bad)


if __name__ == "__main__":
    total, bad = Counter(), Counter()
    for case in cases():
        try:
            word, evidence = outcome(*case)
        except Exception as error:
            word, evidence = "broken", repr(error)
        total[word] += 1
        if word in ("silent", "obscure", "broken"):
            reason = excused(*case)
            bad["excused" if reason else "bad"] += 1
            if not reason:
                print(word, *case, "|", evidence[:110].replace("\n", " "))
    print(sum(total.values()), dict(total), dict(bad))
