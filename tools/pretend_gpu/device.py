"""Tensors that know whether they would lie on a GPU, and calls that a GPU would refuse.

The arithmetic is the CPU's. Each storage remembers whether it is pretended to lie on "cuda:0", so
views, parameters and `.data` agree without more ado. Every call of PyTorch passes `PretendGPU`,
which answers questions about devices, moves, and raises what PyTorch raises where devices mix.

What is left out, as no chapter needs it: several GPUs, functorch's transforms, DLPack, graphs of
kernels, and which kernels a GPU lacks, but for products of integer matrices. A function of PyTorch
that is written in Python is judged as a whole, by its arguments. Nothing is said about speed,
memory or rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _device as default_device

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
Rule = Callable[..., Any]

# A scalar on the CPU may meet a GPU's tensors where PyTorch goes element by element; not here.
NO_SCALARS = {
    "stack", "cat", "concat", "concatenate", "hstack", "vstack", "dstack", "column_stack",
    "meshgrid", "equal", "nextafter", "gather", "scatter", "scatter_", "scatter_add",
    "scatter_add_", "index_select", "embedding", "searchsorted", "bucketize", "dot", "matmul",
    "linear",
}  # fmt: skip
# These copy, compare or reshape, and never mind where their tensors lie.
ANYWHERE = {
    "copy_", "fill_", "type_as", "expand_as", "view_as", "reshape_as", "broadcast_tensors",
    "is_same_size", "is_set_to", "result_type", "can_cast", "module_load", "backward",
    "_has_compatible_shallow_copy_type",
}  # fmt: skip
IN_PLACE = {
    "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__",
    "__iand__", "__ior__", "__ixor__", "__ilshift__", "__irshift__", "__imatmul__",
}  # fmt: skip
MATRIX_PRODUCTS = {
    "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "addmm", "linear", "einsum",
    "tensordot", "inner",
}  # fmt: skip
INTEGERS = {
    torch.int64: "Long",
    torch.int32: "Int",
    torch.int16: "Short",
    torch.int8: "Char",
    torch.uint8: "Byte",
    torch.bool: "Bool",
}
RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu"}
FROM_DATA = (torch.tensor, torch.as_tensor, torch.asarray)


PLAIN = (torch.Tensor, torch.nn.Parameter)  # no subclass with functions of its own
NUMBERS = (int, float, bool, str, type(None))


def where(x: Tensor) -> torch.device:
    """Return the device that a tensor lies on, or is pretended to lie on."""
    if type(x) in PLAIN:
        return GPU if _memory(x).get("on_gpu") else x.device
    with torch._C.DisableTorchFunction():
        return GPU if _memory(x).get("on_gpu") else x.device


def _memory(x: Tensor) -> dict[str, Any]:
    """Return what a tensor's storage remembers; a sparse tensor has none and remembers itself."""
    try:
        return x.untyped_storage().__dict__
    except (NotImplementedError, RuntimeError):
        return x.__dict__


def mark(x: Tensor, device: torch.device) -> Tensor:
    """Pretend that a new tensor lies on a device, and return it."""
    if device == GPU:
        with torch._C.DisableTorchFunction():
            _memory(x)["on_gpu"] = True
    return x


class PretendGPU(TorchFunctionMode):
    """In this context PyTorch's functions keep a CUDA device's rules.

    watch: called with each function that computed on the CPU, and its tensors.
    """

    def __init__(self, watch: Callable[[Rule, list[Tensor]], None] | None = None):
        super().__init__()
        self.watch = watch

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.register_hook:
            return func(args[0], partial(self._in_backward, where(args[0]), args[1]))
        return RULES.get(func, self._compute)(func, args, kwargs)

    def _compute(self, func: Rule, args: tuple, kwargs: dict[str, Any]) -> Any:
        name = getattr(func, "__name__", "")
        if name.startswith(("_foreach_", "_fused_")):
            return _by_pairs(func, args, kwargs)
        target, kwargs = _asked(kwargs) if kwargs else (None, kwargs)
        tensors = _tensors((_without_sizes(name, args), kwargs))
        device = _common_device(name, tensors)
        if device == GPU and name not in ANYWHERE:
            _refuse_written_on_cpu(name, args, kwargs)
            _refuse_integers(name, tensors)
        if func in default_device._device_constructors() and not name.startswith("sparse"):
            device = CPU  # its tensors are read as numbers
        _check_generator(args, kwargs, target or device)
        result = func(*args, **kwargs)
        if self.watch and GPU not in (target, device):
            self.watch(func, tensors)
        return _marked(result, target or device, tensors)

    def _in_backward(self, device: torch.device, hook: Rule, grad: Tensor) -> Any:
        with self:
            return hook(mark(grad, device))


def _asked(kwargs: dict[str, Any]) -> tuple[torch.device | None, dict[str, Any]]:
    """Return the device asked for, and keywords that ask for the CPU in a GPU's place."""
    target = named_device(kwargs.get("device"))
    if target == GPU:
        if kwargs.get("pin_memory"):
            raise RuntimeError("Only dense CPU tensors can be pinned")
        kwargs = kwargs | {"device": CPU}
    return target, kwargs


def named_device(asked: Any) -> torch.device | None:
    """Return the device that an argument names, "cuda" as the first GPU; None if it names none."""
    if isinstance(asked, str | torch.device) or type(asked) is int:
        with torch._C.DisableTorchFunction():
            device = torch.device("cuda", asked) if type(asked) is int else torch.device(asked)
        if device.type == "cuda" and device.index not in (None, 0):
            raise RuntimeError("CUDA error: invalid device ordinal")
        return GPU if device.type == "cuda" else device
    return None


def _tensors(values: Any, tensors: list[Tensor] | None = None) -> list[Tensor]:
    """Return the tensors in nested tuples, lists and dictionaries."""
    tensors = [] if tensors is None else tensors
    if type(values) in PLAIN or isinstance(values, Tensor):
        tensors.append(values)
    elif isinstance(values, tuple | list | dict):
        for value in values.values() if isinstance(values, dict) else values:
            if type(value) not in NUMBERS:  # long lists of them are common
                _tensors(value, tensors)
    return tensors


def _common_device(name: str, tensors: Iterable[Tensor]) -> torch.device:
    """Return where a function of these tensors computes; RuntimeError where PyTorch raises it."""
    places = [(where(x), x) for x in tensors]
    if not any(place is GPU for place, _ in places):
        return places[0][0] if places else CPU
    if name in ANYWHERE:
        return places[0][0]
    for place, x in places:
        scalar = place == CPU and x.dim() == 0 and name not in NO_SCALARS
        if place != GPU and not scalar:
            raise _mixed(name, place)
    return GPU


def _mixed(name: str, other: torch.device) -> RuntimeError:
    return RuntimeError(
        "Expected all tensors to be on the same device, "
        f"but found at least two devices, {GPU} and {other}! (in {name})"
    )


def _without_sizes(name: str, args: tuple) -> tuple:
    """Leave out the sizes of a packed sequence's steps, which lie on the CPU wherever it lies."""
    if name in RECURRENT and isinstance(args[1], Tensor) and args[1].dtype == torch.int64:
        if where(args[1]) != CPU:
            raise RuntimeError(f"batch_sizes tensor should be on CPU, but got on {where(args[1])}")
        return (args[0], *args[2:])
    return args


def _refuse_written_on_cpu(name: str, args: tuple, kwargs: dict[str, Any]) -> None:
    """Raise RuntimeError if a GPU's numbers would be written into the CPU's memory."""
    written = [kwargs.get("out")]
    if name in IN_PLACE or (name.endswith("_") and not name.endswith("__")):
        written += args[:1]
    for x in _tensors(written):
        if where(x) != GPU:
            raise _mixed(name, where(x))


def _refuse_integers(name: str, tensors: list[Tensor]) -> None:
    """Raise RuntimeError for products of integer matrices, for which CUDA has no kernel."""
    if name in MATRIX_PRODUCTS and (dtype := INTEGERS.get(tensors[0].dtype)):
        order = max(x.dim() for x in tensors)
        vector = min(x.dim() for x in tensors) < 2
        kernel = "baddbmm_cuda" if order > 2 else "addmv_impl_cuda" if vector else "addmm_cuda"
        raise RuntimeError(f"\"{kernel}\" not implemented for '{dtype}'")


def _check_generator(args: tuple, kwargs: dict[str, Any], device: torch.device) -> None:
    for generator in (kwargs.get("generator"), *args):
        if type(generator) in PLAIN + NUMBERS:
            continue  # asking what it is takes longer
        if isinstance(generator, torch._C.Generator) and generator.device.type != device.type:
            raise RuntimeError(
                f"Expected a '{device.type}' device type for generator "
                f"but found '{generator.device.type}'"
            )


def _marked(result: Any, device: torch.device, given: Iterable[Tensor]) -> Any:
    """Mark the new tensors in a result; views of what was given, and the given, stay as is."""
    if device == GPU:
        with torch._C.DisableTorchFunction():
            known = {id(_memory(x)) for x in given}
            new = [x for x in _tensors(result) if id(_memory(x)) not in known]
        for x in new:
            mark(x, device)
    return result


def _by_pairs(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Lists of tensors are computed place by place: only what meets must share a device."""
    name = func.__name__
    lists = [a for a in (*args, *kwargs.values()) if isinstance(a, tuple | list)]
    single = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
    meeting = [[*_tensors(row), *single] for row in zip(*lists)]
    if name != "_foreach_copy_":
        devices = [_common_device(name, row) for row in meeting]
        for device, row in zip(devices, meeting):
            if device == GPU and where(row[0]) != GPU:
                raise _mixed(name, where(row[0]))
    result = func(*args, **kwargs)
    if isinstance(result, tuple | list):
        for x, first in zip(result, lists[0]):
            _marked(x, where(first), [first])
    return result


# ---------------------------------------------------------------- rules for single functions


def _plain(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Any:
    return func(*args, **kwargs)


def _get_device(func: Rule, args: tuple, kwargs: dict[str, Any]) -> torch.device:
    return where(args[0])


def _is(device_type: str, func: Rule, args: tuple, kwargs: dict[str, Any]) -> bool:
    return where(args[0]).type == device_type


def _index(func: Rule, args: tuple, kwargs: dict[str, Any]) -> int:
    return 0 if where(args[0]) == GPU else func(*args)


def _to(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    """Tensor.to: a copy where the device changes, as PyTorch does."""
    x, *rest = args
    like = next(iter(_tensors([rest, kwargs])), None)
    asked, kwargs = _asked(kwargs)
    if like is not None:
        asked = where(like)
    elif rest and (named := named_device(rest[0])):
        asked = named
        rest[0] = CPU if named == GPU else named
    target = asked or where(x)
    if target != where(x):
        rest, kwargs = rest[:3], kwargs | {"copy": True}
    return _marked(func(x, *rest, **kwargs), target, [x])


def _cuda(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    named = args[1] if len(args) > 1 else kwargs.get("device")
    return _to(torch.Tensor.to, (args[0], "cuda" if named is None else named), {})


def _cpu(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    return _to(torch.Tensor.to, (args[0], CPU), {})


def _type_as(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    return _to(torch.Tensor.to, args, {})


def _parse_to(func: Rule, args: tuple, kwargs: dict[str, Any]) -> tuple:
    """Read the arguments of Module.to, which may name a tensor to be like."""
    like = next(iter(_tensors([args, kwargs])), None)
    device, *rest = func(*args, **kwargs)
    return (device if like is None else where(like), *rest)


def _from_data(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    """torch.tensor and its like: a tensor keeps its device, numbers go where they are sent."""
    data = args[0] if args else kwargs["data" if "data" in kwargs else "obj"]
    target, kwargs = _asked(kwargs)
    target = target or (where(data) if isinstance(data, Tensor) else CPU)
    if isinstance(data, Tensor) and target == where(data):
        return _marked(func(*args, **kwargs), target, [data])
    result = func(*args, **kwargs)
    if func is not torch.tensor and (isinstance(data, Tensor) or target == GPU):
        result = result.clone()  # what lies on another device has memory of its own
    return mark(result, target)


def _numpy(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Any:
    x = args[0]
    if where(x) == GPU:
        if not kwargs.get("force"):
            raise TypeError(
                f"can't convert {GPU} device type tensor to numpy. "
                "Use Tensor.cpu() to copy the tensor to host memory first."
            )
        return func(x.detach().clone(), *args[1:], **kwargs)
    return func(*args, **kwargs)


def _pin_memory(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    if where(args[0]) == GPU:
        tensor_type = args[0].type().replace("torch.", "torch.cuda.")
        raise RuntimeError(f"cannot pin '{tensor_type}' only dense CPU tensors can be pinned")
    return args[0].clone()


def _deepcopy(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    """What else has been copied lies in an argument of its own, and may lie anywhere."""
    return _marked(func(*args, **kwargs), where(args[0]), [args[0]])


def _getitem(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    x, index = args
    _check_index(x, index)
    return _marked(func(x, index), where(x), [x])


def _setitem(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Any:
    """`x[index] = value`: with slices this copies, from anywhere; with tensors it computes."""
    x, index, value, *rest = args
    _check_index(x, index)
    parts = index if isinstance(index, tuple | list) else (index,)
    computes = any(isinstance(i, list) or (isinstance(i, Tensor) and i.dim() > 0) for i in parts)
    if computes and isinstance(value, Tensor) and value.dim() > 0 and where(value) != where(x):
        name = getattr(func, "__name__", "")
        raise _mixed(name, CPU)
    return func(*args, **kwargs)


def _check_index(x: Tensor, index: Any) -> None:
    """A CPU's index serves every tensor, a GPU's only the GPU's; a scalar is read as a number."""
    for i in _tensors(index):
        if i.dim() > 0 and where(i) not in (CPU, where(x)):
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor "
                f"({where(x)})"
            )


def _set_grad(func: Rule, args: tuple, kwargs: dict[str, Any]) -> None:
    x, grad = args
    if isinstance(grad, Tensor) and where(grad) != where(x):
        raise RuntimeError(
            f"attempting to assign a gradient with device type '{where(grad).type}' to a tensor "
            f"with device type '{where(x).type}'. Please ensure that the gradient and the tensor "
            "are on the same device"
        )
    func(*args)


def _grad(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Any:
    """torch.autograd.grad: each gradient lies where its tensor does."""
    result = func(*args, **kwargs)
    inputs = args[1] if len(args) > 1 else kwargs["inputs"]
    for x, of in zip(result, (inputs,) if isinstance(inputs, Tensor) else inputs):
        if x is not None:
            mark(x, where(of))
    return result


def _pack(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Any:
    x, lengths, *rest = args
    if where(lengths) != CPU:
        dtype = INTEGERS.get(lengths.dtype, lengths.dtype)
        raise RuntimeError(
            "'lengths' argument should be a 1D CPU int64 tensor, "
            f"but got {lengths.dim()}D {where(lengths)} {dtype} tensor"
        )
    data, sizes = func(*args, **kwargs)
    return mark(data, where(x)), sizes


def _unpack(func: Rule, args: tuple, kwargs: dict[str, Any]) -> Any:
    padded, lengths = func(*args, **kwargs)
    return mark(padded, where(args[0])), lengths


_tensor: Any = torch.Tensor  # whose descriptors type checkers do not know
_C: Any = torch._C
# These say something of one tensor that no device changes; they are called all the time.
SAME_ANYWHERE = (
    *(getattr(_tensor, name) for name in ("dim", "size", "numel", "item", "tolist", "__len__")),
    *(getattr(_tensor, name).__get__ for name in ("shape", "dtype", "ndim", "requires_grad")),
)

RULES: dict[Any, Rule] = {
    torch.device: _plain,
    _tensor.device.__get__: _get_device,
    _tensor.is_cuda.__get__: partial(_is, "cuda"),
    _tensor.is_cpu.__get__: partial(_is, "cpu"),
    _tensor.get_device: _index,
    _tensor.to: _to,
    _tensor.cuda: _cuda,
    _tensor.cpu: _cpu,
    _tensor.type_as: _type_as,
    _tensor.numpy: _numpy,
    _tensor.__array__: _numpy,
    _tensor.pin_memory: _pin_memory,
    _tensor.__deepcopy__: _deepcopy,
    _tensor.__getitem__: _getitem,
    _tensor.__setitem__: _setitem,
    _tensor.index_put_: _setitem,
    _tensor.data.__set__: _plain,
    _tensor.grad.__set__: _set_grad,
    torch.autograd.grad: _grad,
    _C._nn._parse_to: _parse_to,
    _C._VariableFunctions._pack_padded_sequence: _pack,
    _C._VariableFunctions._pad_packed_sequence: _unpack,
    **dict.fromkeys(FROM_DATA, _from_data),
    **dict.fromkeys(SAME_ANYWHERE, _plain),
}
