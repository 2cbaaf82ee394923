"""Train nanoGPT's published CPU setting on tiny Shakespeare, and the same with a tuned rate.

usage: OMP_NUM_THREADS=1 DLBOOK_DATA=... python -m tools.records.language

Three arms. "published": 4 blocks, 4 heads, width 128, 2,000 steps of 12 stretches of 64 characters,
learning rate 0.001, five seeds. "search": four rates, one seed each, trained on 19/20 of the
training part and judged on the rest of it. "tuned": the best of these rates on the whole training
part, five seeds. The loss on the validation part (the last tenth) is measured with every character
once, and as nanoGPT's script does it, on 20 random batches, 30 times over. About 2 minutes a run on
one core. Appends a line per run to records/language.jsonl; runs that stand there already are left
out, so the command can be stopped and called again. The weights of the tuned arm's first seed go
to records/gpt_shakespeare.safetensors, with a line in records/weights.jsonl.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import torch
from torch import Tensor

from dlbook_utils import data, records
from dlbook_utils.foundations.mlp import count_parameters
from dlbook_utils.page.devices import device, generator, seed_everything
from dlbook_utils.records import ledger, provenance
from dlbook_utils.sequences.rnn import sequence_loss
from dlbook_utils.transformers.language_models import (
    GPT,
    draw_blocks,
    token_losses,
    train_language_model,
)
from tools.records import weights

RECORD = records.folder() / "language.jsonl"
MODEL: dict[str, Any] = {"tokens": 65, "block": 64, "d": 128, "heads": 4, "depth": 4}
STEPS, BATCH, BLOCK, PUBLISHED = 2000, 12, 64, 1e-3
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
SEEDS = range(5)


def done(arm: str) -> list[dict]:
    """Return the recorded runs of an arm."""
    return [run for run in ledger.read(RECORD) if run["arm"] == arm]


def wanted() -> Iterator[dict]:
    """Yield the runs in an order in which each that depends on others comes after them."""
    yield {"arm": "published", "rate": PUBLISHED, "seed": 0}
    for rate in RATES:
        yield {"arm": "search", "rate": rate, "seed": 100}
    best = min(done("search"), key=lambda row: row["held_back"])["rate"]
    yield {"arm": "tuned", "rate": best, "seed": 0}
    for seed in SEEDS[1:]:
        yield {"arm": "published", "rate": PUBLISHED, "seed": seed}
        yield {"arm": "tuned", "rate": best, "seed": seed}


@torch.no_grad()
def twenty_batches(model: GPT, ids: Tensor, g: torch.Generator) -> float:
    """Return the loss as nanoGPT estimates it with eval_iters=20."""
    model.eval()
    draws = (draw_blocks(ids, BATCH, BLOCK, g) for _ in range(20))
    return sum(sequence_loss(model(x), y).item() for x, y in draws) / 20


def run(row: dict, train: Tensor, valid: Tensor, digest: str) -> GPT:
    """Train as `row` says and add to it what came out."""
    start = time.process_time()
    seed_everything(row["seed"])
    model = GPT(**MODEL).to(train.device)
    held_back = train[len(train) * 19 // 20 :]
    part = train[: len(train) * 19 // 20] if row["arm"] == "search" else train
    curve: list[list[float]] = []
    g, steps = generator(row["seed"] + 1000), count()

    def draw(shuffle: torch.Generator) -> tuple[Tensor, Tensor]:
        step = next(steps)
        if step % 250 == 0 and row["arm"] != "search":
            curve.append([step, round(twenty_batches(model, valid, g), 4)])
            model.train()
        return draw_blocks(part, BATCH, BLOCK, shuffle)

    losses = train_language_model(model, draw, STEPS, row["rate"], row["seed"])
    row["train_loss"] = round(sum(losses[-100:]) / 100, 4)
    row["trained"] = round(time.process_time() - start, 1)
    if row["arm"] == "search":
        row["held_back"] = round(token_losses(model, held_back, BLOCK).mean().item(), 5)
    else:
        tokens = token_losses(model, valid, BLOCK)
        stretches = tokens[: len(tokens) // BLOCK * BLOCK].view(-1, BLOCK)
        estimates = [twenty_batches(model, valid, g) for _ in range(30)]
        row |= {
            "whole": round(tokens.mean().item(), 5),
            "estimates": [round(e, 4) for e in estimates],
            "curve": [*curve, [STEPS, round(estimates[0], 4)]],
            "deviation_character": round(tokens.std().item(), 4),
            "deviation_stretch": round(stretches.mean(1).std().item(), 4),
            "by_place": [round(v, 4) for v in stretches.mean(0).tolist()],
        }
    row |= {
        "settings": MODEL | {"steps": STEPS, "batch": BATCH, "dtype": "float32"},
        "parameters": count_parameters(model),
    }
    seconds = round(time.process_time() - start, 1)
    row |= provenance.origin(train.device, row["seed"], digest, seconds)
    return model


def keep_weights(model: GPT, row: dict, characters: str) -> None:
    """Write the weights, with where they come from."""
    kept = ("parameters", "rate", *ledger.PROVENANCE)
    more = {"characters": characters, "steps": STEPS, "loss": row["whole"]}
    run = {key: row[key] for key in kept} | more | {"settings": MODEL}
    weights.keep("gpt_shakespeare", "python -m tools.records.language", model, run)


def main() -> None:
    torch.set_num_threads(1)
    text = data.load("tiny-shakespeare", "all")
    if not text.real:
        raise SystemExit("the study needs the real tiny Shakespeare; set DLBOOK_DATA")
    characters = "".join(sorted(set(text.text)))
    ids = torch.tensor([characters.index(c) for c in text.text]).to(device())
    cut = len(ids) * 9 // 10
    digest = hashlib.sha256(text.text.encode()).hexdigest()[:16]
    for row in wanted():
        row = {"key": f"{row['arm']} {row['rate']} seed{row['seed']}"} | row
        if row["key"] in {old["key"] for old in done(row["arm"])}:
            continue
        model = run(row, ids[:cut], ids[cut:], f"tiny-shakespeare {digest}")
        ledger.append(RECORD, row)
        if row["arm"] == "tuned" and row["seed"] == 0:
            keep_weights(model, row, characters)
        print(row["key"], row.get("whole", row.get("held_back")), row["seconds"],
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
