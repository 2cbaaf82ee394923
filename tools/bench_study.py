"""The study's engine against the loops that people write, and against what the machine can do.

All three train the same network for the same steps of 32 images at the same rate: the engine's own
feed and step; a plain loop over a DataLoader of PIL pictures, as in most tutorials; Lightning over
the same DataLoader. The steps alone, on a batch at hand, are compared besides. Each side has all
threads that torch takes.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F

from dlbook_utils import records
from dlbook_utils.runner import feed, measure, models, report
from dlbook_utils.runner.learner import EVEN, Learner
from dlbook_utils.runner.settings import Setting

CPU = torch.device("cpu")
IMAGES = {"cnn-32": 1280, "resnet18-3x3": 64}  # a second or so of work each


def images(n: int) -> feed.Part:
    """Random images: the time does not depend on what they show."""
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=g)
    return feed.Part(x, torch.randint(0, 10, (n,), generator=g), "random")


def engine(name: str, part: feed.Part) -> None:
    """The engine's way through the images."""
    setting = Setting("bench", name, examples=len(part))
    learner = Learner(setting, EVEN, CPU)
    for some in feed.batches(part, feed.draw(setting, len(part), 1), setting):
        for batch in some:
            learner.step(*batch)
    learner.tally.take()


class Labelled(torch.utils.data.Dataset):
    """Pictures with their labels."""

    def __init__(self, part: feed.Part):
        self.pictures, self.y = measure.usual(part.x, 0).dataset, part.y  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.pictures[index], self.y[index]


def loader(part: feed.Part) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(Labelled(part), batch_size=32, shuffle=True)


def plain(name: str, part: feed.Part) -> None:
    """The loop of most tutorials."""
    model = models.build(name)
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    total = 0.0
    for x, y in loader(part):
        loss = F.cross_entropy(model(x), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
        total += loss.item() * len(x)


def lightning(name: str, part: feed.Part) -> None:
    """Lightning's Trainer, without progress bar, logger or checkpoints."""
    import lightning as L

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = models.build(name)

        def training_step(self, batch, index):
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 1e-3)

    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.fit(Module(), loader(part))


def rivals() -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """Name, the other side, ours."""
    for name, n in IMAGES.items():
        part = images(n)
        ours = partial(engine, name, part)
        yield f"study, {name}: plain loop / engine", partial(plain, name, part), ours
        yield f"study, {name}: Lightning / engine", partial(lightning, name, part), ours
        fast, usual = (partial(repeated, n // 32, *begin(name, step=k)) for k in ("fast", "plain"))
        yield f"study, {name}: plain step / engine's step", usual, fast


def repeated(times: int, learner: Learner, batch: feed.Part) -> None:
    """So many steps on one batch."""
    for _ in range(times):
        learner.step(batch.x, batch.y, len(batch), len(batch))


def shares(rounds: int = 15) -> Iterator[tuple[str, float]]:
    """How much of the rate of one large matrix product a training step reaches.

    Both are measured in turn, and the fastest of each counts. A step's operations are three times
    those of the forward pass.
    """
    settings = (("cnn-32", "fp32", 32), ("resnet18-3x3", "fp32", 32), ("speedy-small", "bf16", 500))
    for name, amp, batch in settings:
        learner, of_images = begin(name, amp, batch)
        square = torch.randn(1024, 1024).to(torch.bfloat16 if amp == "bf16" else torch.float32)
        step = partial(repeated, 1, learner, of_images)
        works = step, partial(torch.mm, square, square)
        times = [[seconds(work) for work in works] for _ in range(rounds)]
        ours, product = map(min, zip(*times))
        rate = 3 * models.count(name)["flops"] * batch / ours
        share = rate / (2 * len(square) ** 3 / product)
        yield f"study, {name}, {amp}, batch {batch}: share of a matrix product's rate", share


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def begin(
    name: str, amp: str = "fp32", batch: int = 32, step: str = "fast"
) -> tuple[Learner, feed.Part]:
    """A learner that steps in one of `learner.KINDS`, and a batch for it."""
    rule = "muon" if name.startswith("speedy") else "adam"
    setting = Setting("bench", name, amp=amp, batch=batch, rule=rule)
    return Learner(setting, EVEN, CPU, step), images(batch)


def seconds_to_89() -> list[float]:
    """Training times of the recorded runs of the modern recipe on a CPU, in bfloat16, that know
    89 % of the validation images at their end.
    """
    try:
        runs = records.load("cifar10")
    except FileNotFoundError:
        return []
    return [
        report.training_seconds(run)
        for run in runs
        if (run["setting"]["arm"], run["setting"]["amp"]) == ("modern-cpu", "bf16")
        and run["status"] == "done"
        and run["selected"]["valid"]["accuracy"] >= 0.89
    ]
