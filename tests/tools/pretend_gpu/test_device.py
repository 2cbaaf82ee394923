"""The pretended GPU refuses what PyTorch refuses on a real one, and nothing else.

The rules are those of PyTorch 2.14's sources, which the comments name. On a machine that has a GPU
the same tests run on it (`real`), so that the pretence cannot drift from what it pretends.
"""

import copy
import io
import re
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tools.pretend_gpu import CPU, GPU, pretended_gpu, where


@pytest.fixture(autouse=True, params=["pretended"] + ["real"] * torch.cuda.is_available())
def gpu(request):
    """A machine with a GPU."""
    with pretended_gpu() if request.param == "pretended" else nullcontext():
        yield


MIXED = "Expected all tensors to be on the same device"


def on_gpu(*shape, **options):
    return torch.ones(*shape, device="cuda", **options)


# ------------------------------------------------------------------ refused

MIXING = {
    "sum": lambda: on_gpu(3) + torch.ones(3),
    "difference, the CPU's first": lambda: torch.ones(3) - on_gpu(3),
    "product of matrices": lambda: on_gpu(3, 3) @ torch.ones(3, 3),
    "einsum": lambda: torch.einsum("ij,j", on_gpu(3, 3), torch.ones(3)),
    "linear layer": lambda: nn.Linear(3, 3)(on_gpu(2, 3)),
    "convolution": lambda: F.conv2d(on_gpu(1, 1, 4, 4), torch.ones(1, 1, 3, 3)),
    "loss": lambda: F.cross_entropy(on_gpu(2, 3), torch.zeros(2, dtype=torch.int64)),
    "embedding": lambda: nn.Embedding(4, 2).cuda()(torch.zeros(2, dtype=torch.int64)),
    "where": lambda: torch.where(on_gpu(3) > 0, on_gpu(3), torch.ones(3)),
    "concatenation": lambda: torch.cat([on_gpu(3), torch.ones(3)]),
    "gather": lambda: on_gpu(2, 3).gather(1, torch.zeros(2, 1, dtype=torch.int64)),
    "recurrent layer": lambda: nn.LSTM(3, 2)(on_gpu(4, 3)),
    "attention": lambda: F.scaled_dot_product_attention(
        on_gpu(1, 2, 4), on_gpu(1, 2, 4), torch.ones(1, 2, 4)
    ),
}


@pytest.mark.parametrize("mix", MIXING.values(), ids=MIXING)
def test_devices_do_not_mix(mix):
    # torch/csrc/autograd: check_and_update_common_device; TensorIterator::compute_types
    with pytest.raises(RuntimeError, match=r"same device|should be the same|must have the same"):
        mix()


def test_a_cpus_vector_and_a_gpus_scalar_do_not_mix():
    # TensorIterator allows one scalar of the CPU beside a GPU's tensors, not the reverse
    with pytest.raises(RuntimeError, match=MIXED):
        torch.ones(3) + on_gpu(())


def test_a_gpus_number_is_not_added_to_a_sum_on_the_cpu():
    # TensorIterator allows a CPU's scalar only where it is no output
    total = torch.zeros(())
    with pytest.raises(RuntimeError, match=MIXED):
        total += on_gpu(())
    with pytest.raises(RuntimeError, match=MIXED):
        total.add_(on_gpu(()))
    with pytest.raises(RuntimeError, match=MIXED):
        torch.add(on_gpu(3), 1, out=torch.ones(3))


@pytest.mark.parametrize("join", [torch.stack, lambda two: torch.cat([x[None] for x in two])])
def test_scalars_of_two_devices_are_not_stacked(join):
    # cat has no exception for scalars, unlike element by element
    with pytest.raises(RuntimeError, match=MIXED):
        join([on_gpu(()), torch.ones(())])


NUMPY = {
    "numpy": lambda x: x.numpy(),
    "asarray": np.asarray,
    "array": np.array,
    "a list of scalars": lambda x: np.array([x.sum(), x.sum()]),
    "a detached parameter": lambda x: nn.Parameter(x).detach().numpy(),
    "a view": lambda x: x[1:].numpy(),
}


@pytest.mark.parametrize("convert", NUMPY.values(), ids=NUMPY)
def test_numpy_does_not_read_a_gpu(convert):
    # torch/csrc/utils/tensor_numpy.cpp
    said = re.escape("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
    with pytest.raises(TypeError, match=said):
        convert(on_gpu(3))


def test_a_cpus_generator_does_not_draw_on_a_gpu():
    # ATen/core/Generator.h: check_generator
    said = "Expected a 'cuda' device type for generator but found 'cpu'"
    for draw in (
        lambda g: torch.randn(3, device="cuda", generator=g),
        lambda g: torch.randperm(3, device=GPU, generator=g),
        lambda g: on_gpu(3).normal_(generator=g),
        lambda g: torch.multinomial(on_gpu(3), 1, generator=g),
        lambda g: torch.bernoulli(on_gpu(3), generator=g),
    ):
        with pytest.raises(RuntimeError, match=said):
            draw(torch.Generator())


def test_a_gpus_generator_does_not_draw_on_a_cpu():
    with pytest.raises(RuntimeError, match="Expected a 'cpu' device type .* found 'cuda'"):
        torch.randn(3, generator=torch.Generator("cuda"))


def test_the_lengths_of_a_packed_sequence_lie_on_the_cpu():
    # ATen/native/PackedSequence.cpp: checkLongTensor
    said = "'lengths' argument should be a 1D CPU int64 tensor, but got 1D cuda:0 Long tensor"
    with pytest.raises(RuntimeError, match=said):
        nn.utils.rnn.pack_padded_sequence(on_gpu(3, 2, 1), torch.tensor([3, 2]).cuda())


def test_a_gpus_index_is_not_for_a_cpus_tensor():
    # ATen/native/IndexingUtils.h
    said = re.escape("indices should be either on cpu or on the same device as the indexed")
    x, index = torch.arange(3), torch.tensor([0, 1]).cuda()
    with pytest.raises(RuntimeError, match=said):
        x[index]
    with pytest.raises(RuntimeError, match=said):
        x[torch.ones(3, dtype=torch.bool).cuda()]
    with pytest.raises(RuntimeError, match=said):
        x[index] = 0


def test_indexed_places_take_no_values_from_the_other_device():
    # ATen/native/TensorAdvancedIndexing.cpp: index_put_ moves scalars only
    x = on_gpu(3)
    with pytest.raises(RuntimeError, match=r"same device|expected device"):
        x[torch.tensor([0, 1])] = torch.zeros(2)


def test_a_gradient_lies_where_its_tensor_does():
    # torch/csrc/autograd/python_variable.cpp: THPVariable_set_grad
    x = on_gpu(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="attempting to assign a gradient with device type"):
        x.grad = torch.ones(3)


def test_a_gpus_tensor_is_not_pinned():
    # ATen/native/Memory.cpp
    with pytest.raises(RuntimeError, match=re.escape("cannot pin 'torch.cuda.FloatTensor'")):
        on_gpu(3).pin_memory()


def test_a_gpu_multiplies_no_matrices_of_integers():
    # ATen/native/cuda/Blas.cpp dispatches on floating and complex types only
    x = torch.ones(3, 3, dtype=torch.int64).cuda()
    with pytest.raises(RuntimeError, match="\"addmm_cuda\" not implemented for 'Long'"):
        x @ x
    for multiply in (lambda: x.int() @ x.int()[0], lambda: x[None] @ x[None], lambda: x.mm(x)):
        with pytest.raises(RuntimeError, match="not implemented for '(Int|Long)'"):
            multiply()
    assert (x * x).sum() == 9
    assert (x.double() @ x.double()).device == GPU


def test_there_is_one_gpu():
    if torch.cuda.device_count() == 1:
        with pytest.raises(RuntimeError, match="invalid device ordinal"):
            torch.ones(3, device="cuda:1")


def test_a_lazy_layer_left_on_the_cpu_takes_no_gpus_tensor():
    with pytest.raises(RuntimeError, match=MIXED):
        nn.LazyLinear(2)(on_gpu(4, 3))


def test_a_buffer_that_is_a_list_stays_behind():
    class Judge(nn.Module):
        def __init__(self):
            super().__init__()
            self.v = [torch.ones(3)]

        def forward(self, x):
            return x * self.v[0]

    with pytest.raises(RuntimeError, match=MIXED):
        Judge().to("cuda")(on_gpu(3))


def test_a_recurrent_layer_on_the_cpu_takes_no_packed_sequence_of_a_gpu():
    packed = nn.utils.rnn.pack_padded_sequence(on_gpu(3, 2, 1), torch.tensor([3, 2]))
    with pytest.raises(RuntimeError, match=r"same device"):
        nn.GRU(1, 2)(packed)


# ------------------------------------------------------------------ allowed


def test_where_tensors_lie():
    x = on_gpu(3)
    assert (x.device, x.is_cuda, x.is_cpu, x.get_device()) == (GPU, True, False, 0)
    y = torch.ones(3)
    assert (y.device, y.is_cuda, y.is_cpu) == (CPU, False, True)
    made = [torch.zeros_like(x), x.new_zeros(2), torch.arange(3, device=x.device), x + 1, x[1:]]
    made += [x.detach(), x.data, x.clone(), nn.Parameter(x), x.double(), x.to(torch.int64)]
    made += [torch.as_tensor(x), x.view(3, 1), F.relu(x)]
    made += [torch.tensor([1, 2], device="cuda"), torch.as_tensor(np.ones(2), device="cuda")]
    made += [*torch.ones(4, device="cuda").split(2), *x.sort(), *torch.linalg.svd(on_gpu(2, 2))]
    assert {m.device for m in made} == {GPU}
    left = [torch.ones_like(x, device="cpu"), x.cpu(), x.to("cpu"), torch.tensor([x.sum()])]
    left += [torch.full((2,), x.sum()), x.to(y), torch.as_tensor(x, device="cpu")]
    assert {m.device for m in left} == {CPU}


def test_a_move_is_a_copy_and_no_move_is_none():
    x = torch.ones(3)
    y = x.to("cuda")
    y += 1
    assert x.tolist() == [1, 1, 1]
    assert y.cpu().tolist() == [2, 2, 2]
    assert x.to("cpu") is x
    assert y.to("cuda") is y
    assert y.cuda() is y
    assert x.cpu() is x
    assert y.to("cuda", torch.float64).dtype == torch.float64
    assert torch.ones(2, dtype=torch.int64).to(y).device == GPU
    assert y.to("cpu", non_blocking=True).device == CPU
    assert x.cuda(0).to(device="cuda:0", dtype=torch.float16).device == GPU


def test_a_move_passes_gradients():
    x = torch.ones(3, requires_grad=True)
    (x.cuda() * 2).sum().backward()
    assert x.grad.device == CPU
    assert x.grad.tolist() == [2, 2, 2]
    assert torch.autograd.grad((x.cuda() * 2).sum(), x)[0].device == CPU
    y = on_gpu(3, requires_grad=True)
    assert torch.autograd.grad((y.cpu() * 2).sum(), [y])[0].device == GPU


def test_a_scalar_of_the_cpu_meets_a_gpus_tensors():
    # TensorIterator: zero-dimensional tensors behave like Python's numbers (pull request 20690)
    x, one = on_gpu(3), torch.ones(())
    made = [x + one, one - x, x * one, torch.where(x > 0, one, x), on_gpu(()) + one, x > one]
    made += [x.masked_fill(x > 0, one), x.clamp(min=one), torch.maximum(x, one)]
    x *= one
    assert {m.device for m in [*made, x]} == {GPU}


def test_a_gpus_tensor_takes_a_cpus_index():
    # ATen/native/IndexingUtils.h: indices on the CPU serve every device
    x, index = on_gpu(3), torch.tensor([0, 2])
    assert x[index].device == GPU
    assert x[torch.ones(3, dtype=torch.bool)].device == GPU
    assert torch.arange(3)[torch.tensor(1).cuda()] == 1  # a scalar is read as a number
    x[index] = 5
    x[index] = torch.zeros(())
    x[:2] = torch.zeros(2)  # slices copy, from any device
    assert x.tolist() == [0, 0, 0]
    torch.zeros(3)[1:] = on_gpu(2)


def test_copies_cross_devices():
    assert torch.zeros(3).copy_(on_gpu(3)).device == CPU
    assert on_gpu(3).copy_(torch.zeros(3)).device == GPU
    assert torch.zeros(3).fill_(on_gpu(())).tolist() == [1, 1, 1]
    assert torch.ones(1).expand_as(on_gpu(3)).device == CPU
    assert torch.ones(3).type_as(on_gpu(1)).device == GPU


def test_numbers_leave_a_gpu():
    x = on_gpu(3)
    assert (float(x.sum()), x.tolist(), x[0].item(), bool((x > 0).all())) == (3, [1] * 3, 1, True)
    assert x.cpu().numpy().sum() == np.asarray(x.to("cpu")).sum() == 3
    assert x.numpy(force=True).sum() == 3
    assert f"{x.sum():.1f}" == "3.0"


def test_generators_draw_on_their_device():
    g = torch.Generator("cuda").manual_seed(1)
    assert torch.randn(3, device=g.device, generator=g).device == GPU
    assert torch.randn(3, generator=torch.Generator().manual_seed(1)).to("cuda").device == GPU
    assert on_gpu(3).uniform_(generator=g).device == GPU
    assert torch.rand(3, device="cuda").device == GPU


def test_the_same_seed_gives_the_same_numbers():
    g = torch.Generator("cuda").manual_seed(1)
    first = torch.rand(3, device="cuda", generator=g)
    assert torch.equal(first, torch.rand(3, device="cuda", generator=g.manual_seed(1)))


@pytest.mark.parametrize("move", [lambda m: m.to("cuda"), lambda m: m.cuda(), lambda m: m.to(GPU)])
def test_modules_move_with_parameters_and_buffers(move):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    model = move(model)
    assert {p.device for p in (*model.parameters(), *model.buffers())} == {GPU}
    assert all(isinstance(p, nn.Parameter) for p in model.parameters())
    assert model(on_gpu(5, 3)).device == GPU
    assert model.double()(on_gpu(5, 3).double()).device == GPU
    assert next(model.to(torch.ones(1)).parameters()).device == CPU


def test_modules_are_built_on_a_device():
    assert nn.Linear(3, 4, device="cuda").weight.device == GPU
    with torch.device("cuda"):
        assert nn.Linear(3, 4).weight.device == GPU
    with torch.device("meta"):
        assert nn.Linear(3, 4).weight.device.type == "meta"
    assert nn.Linear(3, 4, device="meta").to_empty(device="cuda").weight.device == GPU


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, 0.1),
    "adam, one at a time": lambda p: torch.optim.Adam(p, 0.1, foreach=False),
    "adam, fused": lambda p: torch.optim.Adam(p, 0.1, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.1),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_train_where_the_model_lies(make):
    model = nn.Linear(3, 1).cuda()
    optimizer = make(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    before = model.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        model(on_gpu(5, 3)).square().sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    assert model.weight.grad.device == model.weight.device == before.device == GPU
    assert not torch.equal(before, model.weight)
    assert copy.deepcopy(optimizer.state_dict())["state"].keys() == {0, 1}


def test_an_optimizer_may_have_parameters_on_two_devices():
    one, other = nn.Linear(3, 1), nn.Linear(3, 1).cuda()
    adam = torch.optim.Adam([*one.parameters(), *other.parameters()], foreach=True)
    (one(torch.ones(3)).sum() + other(on_gpu(3)).sum().cpu()).backward()
    adam.step()
    assert (one.weight.device, other.weight.device) == (CPU, GPU)


def test_lazy_modules_are_built_where_they_lie():
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
    assert lazy.to("cuda")(on_gpu(1, 1, 5, 5)).device == GPU
    assert lazy[2].weight.shape == (2, 36)
    assert {p.device for p in lazy.parameters()} == {GPU}
    late = nn.LazyLinear(2)
    late(torch.ones(1, 3))
    assert late.cuda()(on_gpu(1, 3)).device == GPU


def test_recurrent_layers_and_packed_sequences():
    rnn = nn.LSTM(1, 2, batch_first=True).cuda()
    assert rnn(on_gpu(4, 3, 1))[0].device == GPU
    packed = nn.utils.rnn.pack_padded_sequence(
        on_gpu(2, 3, 1), torch.tensor([2, 3]), batch_first=True, enforce_sorted=False
    )
    assert packed.batch_sizes.device == CPU
    out, (h, _) = rnn(packed)
    padded, lengths = nn.utils.rnn.pad_packed_sequence(out, batch_first=True)
    assert (padded.device, h.device, lengths.device) == (GPU, GPU, CPU)
    assert lengths.tolist() == [2, 3]


def test_attention_layers():
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).cuda()
    mask = nn.Transformer.generate_square_subsequent_mask(3, device="cuda")
    assert layer(on_gpu(2, 3, 4), src_mask=mask).device == GPU
    assert layer.eval()(on_gpu(2, 3, 4)).device == GPU


def test_copies_keep_their_device():
    model = nn.BatchNorm1d(3).cuda()
    again = copy.deepcopy({"model": model, "x": on_gpu(2), "y": torch.ones(2)})
    assert {p.device for p in again["model"].parameters()} == {GPU}
    assert {b.device for b in again["model"].buffers()} == {GPU}
    assert (again["x"].device, again["y"].device) == (GPU, CPU)


def test_states_are_loaded_into_where_the_model_lies():
    model = nn.Linear(3, 1)
    model.cuda().load_state_dict(nn.Linear(3, 1).state_dict())
    assert model.weight.device == GPU
    assert next(iter(model.state_dict().values())).device == GPU


def test_files_remember_the_device():
    # torch/serialization.py: location_tag
    file = io.BytesIO()
    torch.save({"x": on_gpu(3), "y": torch.ones(3)}, file)
    for place, wanted in ((None, (GPU, CPU)), ("cpu", (CPU, CPU)), ("cuda", (GPU, GPU))):
        file.seek(0)
        loaded = torch.load(file, map_location=place)
        assert (loaded["x"].device, loaded["y"].device) == wanted
        assert loaded["x"].tolist() == [1, 1, 1]


def test_hooks_see_gradients_where_their_tensor_lies():
    seen, factor = [], torch.full((3,), 2.0, device="cuda")
    x = on_gpu(3, requires_grad=True)
    x.register_hook(lambda grad: seen.append(grad.device) or grad * factor)
    x.sum().backward()
    assert seen == [GPU]
    assert x.grad.tolist() == [2, 2, 2]


def test_loaders_give_the_cpus_tensors():
    data = torch.utils.data.TensorDataset(torch.ones(4, 2), torch.ones(4))
    for x, y in torch.utils.data.DataLoader(data, batch_size=2, shuffle=True):
        assert (x.device, y.to("cuda").device) == (CPU, GPU)
    assert torch.ones(3).pin_memory().device == CPU


def test_half_precision_is_what_autocast_gives():
    with torch.autocast("cuda"):
        assert (on_gpu(2, 2) @ on_gpu(2, 2)).dtype == torch.float16
    with torch.autocast("cuda", torch.bfloat16):
        assert (on_gpu(2, 2) @ on_gpu(2, 2)).dtype == torch.bfloat16


def test_the_machine_has_a_gpu():
    assert torch.cuda.is_available()
    assert torch.cuda.device_count() >= 1
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.max_memory_allocated() >= 0
    assert isinstance(torch.cuda.get_device_name(GPU), str)
    torch.cuda.empty_cache()
    torch.manual_seed(0)
    assert torch.nn.Parameter(torch.ones(2)).device == CPU


def test_sparse_tensors_lie_somewhere_too():
    x = torch.eye(3).to_sparse()
    assert (x.device, x.cuda().device) == (CPU, GPU)
    assert (x.cuda() @ on_gpu(3, 1)).device == GPU
    with pytest.raises(RuntimeError):
        torch.sparse.mm(x.cuda(), torch.ones(3, 1))


def test_a_lookup_outside_knows_the_device():
    assert where(on_gpu(2)) == GPU
    assert where(torch.ones(2)) == CPU
