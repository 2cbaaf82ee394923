"""After the pretence the machine is as it was."""

import torch

from tools.pretend_gpu import pretended_gpu


def test_everything_is_put_back():
    before = [torch.cuda.is_available, torch.cuda.synchronize, torch.Generator, torch.autocast]
    registry = list(torch.serialization._package_registry)
    with pretended_gpu():
        assert torch.cuda.is_available()
        assert torch.Generator is not before[2]
    after = [torch.cuda.is_available, torch.cuda.synchronize, torch.Generator, torch.autocast]
    assert after == before
    assert torch.serialization._package_registry == registry


def test_what_computes_on_the_cpu_is_told():
    seen = []
    with pretended_gpu(lambda func, tensors: seen.append((func.__name__, len(tensors)))):
        torch.ones(2, 2) @ torch.ones(2, 2)
        torch.ones(2, 2, device="cuda") @ torch.ones(2, 2, device="cuda")
    assert [call for call in seen if call[0] in ("matmul", "__matmul__")] == [("matmul", 2)]
