"""Three ways to train the same tiny MLP for the same steps: ours, a plain loop, Lightning."""

from __future__ import annotations

import logging
import warnings

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dlbook_utils.foundations.linear import fit

EPOCHS, SIZE = 3, 64
X = torch.rand(4096, 64, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 10, (4096,), generator=torch.Generator().manual_seed(1))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def ours() -> None:
    """The book's `fit`."""
    model = network()
    fit(model, (X, Y), optimizer=torch.optim.SGD(model.parameters(), 0.1), epochs=EPOCHS, size=SIZE)


def loader_loop() -> None:
    """The loop of most tutorials: a DataLoader over a TensorDataset."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loader = DataLoader(TensorDataset(X, Y), batch_size=SIZE, shuffle=True)
    for _ in range(EPOCHS):
        total = 0.0
        for x, y in loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)


def lightning() -> None:
    """Lightning's Trainer, with neither progress bar nor logger nor checkpoints."""
    import lightning as L

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = network()

        def training_step(self, batch, index):
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    loader = DataLoader(TensorDataset(X, Y), batch_size=SIZE, shuffle=True)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = L.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", enable_checkpointing=False, barebones=False, **quiet
    )
    trainer.fit(Module(), loader)
