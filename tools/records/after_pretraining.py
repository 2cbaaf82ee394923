"""Runs for the chapter on what comes after pre-training: three parts, one record.

usage: OMP_NUM_THREADS=1 DLBOOK_DATA=... python -m tools.records.after_pretraining [SECONDS]

`base`: three GPTs that read lines of the task language, 1,200 steps of 64 lines; all three are kept
as records/task_language.safetensors.
`in-context`: networks that read examples (x, y) of a linear function of two numbers and say y for
the next x, 2,000 steps of 64 functions; judged on 2,000 others, beside least squares.
`scaling`: GPTs of six widths on tiny Shakespeare, 500 steps of 12 stretches of 64 characters. Each
width has its rate bracketed by factors of 2 with one seed, judged on the last twentieth of the
training part; with the best, three seeds train on all of it and are judged on the first 30,000
characters of the last tenth of the text.

Appends a line per run to records/after_pretraining.jsonl; about 9 minutes on one core. Runs that
stand there are left out, so the command can be stopped, and stops by itself after SECONDS.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from dlbook_utils import data, records
from dlbook_utils.foundations.mlp import count_parameters
from dlbook_utils.page.devices import device, generator, seed_everything
from dlbook_utils.records import ledger, provenance
from dlbook_utils.transformers.after_pretraining import (
    SIGNS,
    all_words,
    answer_log_probs,
    draw_lines,
    obedient_lines,
)
from dlbook_utils.transformers.language_models import (
    GPT,
    adamw_for,
    draw_blocks,
    token_losses,
    train_language_model,
)
from dlbook_utils.transformers.transformer import EncoderBlock, causal_mask
from tools.records import weights

RECORD = records.folder() / "after_pretraining.jsonl"
SEEDS, TRIAL = range(3), 100
WIDTHS, FIRST_RATE = (16, 24, 32, 48, 64, 96), 8e-3
FEATURES, EXAMPLES = 2, 10


def base_model() -> GPT:
    """Return the untrained network that reads lines of the task language."""
    return GPT(len(SIGNS), 8, 48, 4, 2, deviation=0.1)


def run_base(row: dict) -> nn.Module:
    """Pre-train on the task language; note what it answers when asked in a chat or a book."""
    seed_everything(row["seed"])
    model, (train, test) = base_model().to(device()), all_words(device())
    draw = partial(draw_lines, train, 64, row["books"])
    losses = train_language_model(model, draw, row["steps"], row["rate"], row["seed"])
    row["train_loss"] = round(sum(losses[-50:]) / 50, 4)
    with torch.no_grad():
        for name, book in (("chat", False), ("book", True)):
            right = answer_log_probs(model, obedient_lines(test, book)).exp().mean()
            row[f"right_{name}"] = round(right.item(), 4)
    return model


class InContext(nn.Module):
    """Reads x1, y1, x2, y2, ... and says each y before it is read: (n, k, 3) to (n, k)."""

    def __init__(self, d: int, heads: int, depth: int):
        super().__init__()
        self.read = nn.Linear(FEATURES + 1, d)
        self.places = nn.Parameter(0.1 * torch.randn(2 * EXAMPLES, d))
        self.blocks = nn.ModuleList(
            EncoderBlock(d, heads, 4 * d, nn.functional.gelu) for _ in range(depth)
        )
        self.norm, self.say = nn.LayerNorm(d), nn.Linear(d, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        asked = torch.cat([x, torch.zeros_like(y)[..., None]], -1)
        told = torch.cat([torch.zeros_like(x), y[..., None]], -1)
        h = self.read(torch.stack([asked, told], 2).flatten(1, 2)) + self.places
        mask = causal_mask(h.shape[1], h.device)
        for block in self.blocks:
            h = block(h, mask)
        return self.say(self.norm(h))[:, ::2, 0]


def draw_functions(n: int, g: torch.Generator, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return points x (n, k, 2) and the values y (n, k) of n random linear functions there."""
    x = spread * torch.randn(n, EXAMPLES, FEATURES, generator=g)
    w = torch.randn(n, FEATURES, 1, generator=g)
    return x.to(device()), (x @ w)[..., 0].to(device())


def least_squares(x: Tensor, y: Tensor) -> Tensor:
    """Return what the shortest least-squares solution of the examples before says, (n, k)."""
    says = [torch.zeros_like(y[:, 0])]
    for k in range(1, y.shape[1]):
        w = torch.linalg.pinv(x[:, :k]) @ y[:, :k, None]
        says.append((x[:, k, None] @ w)[:, 0, 0])
    return torch.stack(says, 1)


def run_in_context(row: dict) -> None:
    """Train on random linear functions; note the squared error after 0, 1, ... examples."""
    seed_everything(row["seed"])
    model, g = InContext(32, 4, 2).to(device()), generator(row["seed"])
    adam = adamw_for(model, row["rate"], 0.0)
    for t in range(row["steps"]):
        for group in adam.param_groups:
            group["lr"] = row["rate"] * min(1, t / 100) * (1 - t / row["steps"])
        x, y = draw_functions(64, g)
        loss = (model(x, y) - y).square().mean()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
    with torch.no_grad():
        for name, spread in (("errors", 1.0), ("errors_wide", 3.0)):
            x, y = draw_functions(2000, generator(1000 + row["seed"]), spread)
            for who, says in (("", model(x, y)), ("_least", least_squares(x, y))):
                scaled = (says - y).square().mean(0) / spread**2
                row[name + who] = [round(v, 6) for v in scaled.tolist()]
    row["parameters"] = count_parameters(model)


def run_scaling(row: dict, tokens: int, train: Tensor, valid: Tensor) -> None:
    """Train a GPT of one width on Shakespeare; note its loss on text that is held out."""
    seed_everything(row["seed"])
    model = GPT(tokens, 64, row["width"], 4, 2, deviation=0.1).to(train.device)
    if row["trial"]:
        part = len(train) * 19 // 20
        train, valid = train[:part], train[part:]
    draw = partial(draw_blocks, train, 12, 64)
    losses = train_language_model(model, draw, row["steps"], row["rate"], row["seed"], 50)
    row["parameters"] = count_parameters(model)
    row["in_blocks"] = count_parameters(model.blocks)
    row["train_loss"] = round(sum(losses[-50:]) / 50, 4)
    row["loss"] = round(token_losses(model, valid[:30_001], 64).mean().item(), 5)


def best_rate(width: int) -> tuple[float, bool]:
    """Return the rate of least trial loss, and whether both neighbours have been tried."""
    tried = {
        run["rate"]: run["loss"]
        for run in ledger.read(RECORD)
        if run["part"] == "scaling" and run["trial"] and run["width"] == width
    }
    best = min(tried, key=lambda rate: tried[rate]) if tried else FIRST_RATE
    return best, {best / 2, best, best * 2} <= tried.keys()


def wanted() -> Iterator[dict]:
    """Yield the runs, those that choose a width's rate before those that use it."""
    for seed in SEEDS:
        yield {"part": "base", "books": 0.3, "rate": 5e-3, "seed": seed, "steps": 1200}
    for seed in SEEDS:
        yield {"part": "in-context", "rate": 2e-3, "seed": seed, "steps": 2000}
    scaling = {"part": "scaling", "steps": 500}
    for width in WIDTHS:
        while not (rate := best_rate(width))[1]:
            for factor in (1, 0.5, 2):
                yield scaling | {
                    "width": width, "trial": True, "rate": rate[0] * factor, "seed": TRIAL
                }  # fmt: skip
    for seed in SEEDS:
        for width in WIDTHS:
            yield scaling | {
                "width": width, "trial": False, "rate": best_rate(width)[0], "seed": seed
            }  # fmt: skip


def main() -> None:
    until = time.monotonic() + float(sys.argv[1]) if sys.argv[1:] else float("inf")
    text = data.load("tiny-shakespeare", "all")
    if not text.real:
        raise SystemExit("the study needs the real tiny Shakespeare; set DLBOOK_DATA")
    characters = "".join(sorted(set(text.text)))
    ids = torch.tensor([characters.index(c) for c in text.text]).to(device())
    cut = len(ids) * 9 // 10
    shakespeare = f"tiny-shakespeare {hashlib.sha256(text.text.encode()).hexdigest()[:16]}"
    bases = []
    for row in wanted():
        words = [row["part"], row.get("books"), row.get("width"), row["rate"], row["seed"]]
        row = {"key": " ".join(str(word) for word in words if word is not None)} | row
        if row["key"] in {old["key"] for old in ledger.read(RECORD)}:
            continue
        if time.monotonic() > until:
            break
        start, where = time.process_time(), device()
        if row["part"] == "base":
            bases.append(run_base(row))
        elif row["part"] == "in-context":
            run_in_context(row)
        else:
            run_scaling(row, len(characters), ids[:cut], ids[cut:])
        row["seconds"] = round(time.process_time() - start, 1)
        digest = shakespeare if row["part"] == "scaling" else "generated"
        row |= provenance.origin(where, row["seed"], digest, row["seconds"])
        ledger.append(RECORD, row)
        print(row["key"], {k: v for k, v in row.items() if k[:3] in ("rig", "los", "err", "sec")},
              flush=True)  # fmt: skip
        if row["part"] == "base" and len(bases) == len(SEEDS):
            kept = {"steps": row["steps"]} | provenance.origin(where, 0, digest, row["seconds"])
            command = "python -m tools.records.after_pretraining"
            weights.keep("task_language", command, nn.ModuleList(bases), kept)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
