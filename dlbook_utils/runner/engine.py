"""One run from its setting to its record: train, validate, save, go on after an interruption."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlbook_utils.page.devices import seed_everything
from dlbook_utils.page.guards import TrainingFailed
from dlbook_utils.records import provenance

from . import checkpoint, costs, curves, feed, models, scores, steps
from .settings import Setting, from_dict
from .together import Group


class Mismatch(RuntimeError):
    """A checkpoint belongs to another way of running."""


@dataclass
class Clock:
    """The seconds that a call, of one run or of several, may take; None: as many as it needs.

    A call that begins at all does an epoch, be it longer than the limit: so every call goes on.
    """

    limit: float | None = None
    began: float = field(default_factory=time.monotonic)
    used: bool = False

    def begins(self, seconds: float) -> bool:
        """Whether an epoch that took so many seconds last time may be begun, and will be.

        The first of a call may be unless the limit has passed, later ones if that time and a fifth
        more are left.
        """
        needed = 1.2 * seconds if self.used else 0.0
        found = self.limit is None or time.monotonic() - self.began + needed < self.limit
        self.used |= found
        return found


@dataclass(frozen=True)
class Way:
    """How runs are carried out: what may change their speed, but not their arithmetic.

    `step` is one of `steps.KINDS` or "auto": "graph" on a GPU, "fast" elsewhere.
    """

    device: torch.device
    folder: Path
    study: str = "cifar10"
    step: str = "auto"
    clock: Clock = field(default_factory=Clock)
    parallel: int = 1
    group: Group = field(default_factory=Group)
    say: Callable[[str], None] = print

    def kind(self, setting: Setting) -> str:
        """The kind of step for a setting. A graph cannot hold the modern recipe's optimisers, and
        several processes exchange gradients between the steps' kernels.
        """
        kind = self.step
        if kind == "auto":
            kind = "graph" if self.device.type == "cuda" else "fast"
        if kind == "graph" and (setting.rule == "muon" or self.group.size > 1):
            return "fast"
        return kind

    def checkpoint(self, setting: Setting) -> Path:
        """Where a run's state is kept while it is not finished."""
        return self.folder / "checkpoints" / f"{setting.key}.pt"

    def curves(self, setting: Setting) -> Path:
        """Where TensorBoard finds a run's curves."""
        return self.folder / "curves" / setting.key

    def weights(self, setting: Setting) -> Path:
        """Where a finished run's selected weights are kept."""
        return self.folder / "weights" / f"{setting.key}.pt"


def run(setting: Setting, way: Way) -> dict[str, Any] | None:
    """Train a model as `setting` says and return its record; None if the time ran out before.

    After every epoch a checkpoint is written, from which the next call goes on. A loss that is not
    finite ends the run: its record has "status" "failed" and says where.

    Raises checkpoint.Damaged and Mismatch for a checkpoint that cannot be used, and
    together.Impossible for a model that cannot be shared out to the processes.
    """
    device, kind = way.device, way.kind(setting)
    if kind == "graph" and way.step == "auto" and _begun_as(setting, way) == "fast":
        return run(setting, replace(way, step="fast"))  # no graph could be recorded, last time
    steps.precision(setting.amp, device)  # before the first product, that of `prepare`
    torch.backends.cudnn.benchmark = kind != "plain"
    provenance.forget_peak_memory(device)
    train, valid = (part.to(device) for part in feed.divide(setting))
    images = feed.load(setting.data)
    normalise = steps.Normalise(images.mean, images.std, kind != "plain").to(device)

    began = time.monotonic()
    seed_everything(setting.seed)
    model = models.build(setting.model).to(device)
    if kind != "plain":
        model = model.to(memory_format=torch.channels_last)
    if hasattr(model, "prepare"):
        model.prepare(normalise(train.x[:5000]))
    net = way.group.wrap(model)
    found = steps.optimizers(setting, model, kind, device)
    state = _resume(setting, way, kind, model, found)
    _compare(setting, way, len(state["history"]))
    earlier = state["seconds"]

    tally = steps.Tally(device)
    example = (
        train.x[: setting.batch // way.group.size],
        train.y[: setting.batch // way.group.size],
    )
    step, problem = None, ""
    try:
        step = steps.make_step(
            kind, net, normalise, found, tally, setting, example, share=way.group.size
        )
    except RuntimeError as error:
        if kind != "graph" or way.step != "auto":
            raise
        problem = str(error)  # the error itself would keep the model's memory
    if step is None:
        del model, net, found, state
        way.say(f"{setting.key}: no graph could be recorded ({problem}); on with --step fast")
        return run(setting, replace(way, step="fast"))
    history = state["history"]
    try:
        with curves.Curves(way.curves(setting), len(history), way.group.first) as drawn:
            while not _finished(setting, history):
                if not _room(way, history):
                    return None
                row = _epoch(setting, way, len(history) + 1, net, found, step, tally, train)
                if not history:  # evaluation, with larger batches, takes more
                    state["peak_memory"] = provenance.peak_memory(device)
                if len(valid) and _checked(setting, row["epoch"]):
                    _validate(way, row, model, normalise, valid, setting)
                history.append(row)
                if _is_best(setting, history):
                    state["best"] = _copy(model.state_dict())
                state["seconds"] = earlier + time.monotonic() - began
                if way.group.first:
                    _save(setting, way, kind, model, found, state)
                drawn.add(row)
                way.say(_line(setting, row))
    except TrainingFailed as error:
        way.say(f"{setting.key}: {error}")
        return _record(setting, way, kind, state, train, valid, failed=str(error))
    if not way.group.first:
        return {}
    return _finish(setting, way, kind, model, normalise, state, train, valid)


def _begun_as(setting: Setting, way: Way) -> str:
    """The kind of step with which a run was begun, "" if it was not."""
    state = checkpoint.load(way.checkpoint(setting), way.device)
    return state["way"][0] if state else ""


def _resume(
    setting: Setting, way: Way, kind: str, model: nn.Module, found: list[torch.optim.Optimizer]
) -> dict[str, Any]:
    """Load a checkpoint into model and optimisers if there is one; return what else it holds."""
    path = way.checkpoint(setting)
    state = checkpoint.load(path, way.device)
    if state is None:
        return {
            "history": [],
            "best": None,
            "seconds": 0.0,
            "peak_memory": 0,
            "code": [checkpoint.code()],
            "commit": provenance.commit(),
        }
    if from_dict(state["setting"]) != setting:
        raise Mismatch(f"{path} belongs to another setting: {state['setting']}")
    here = (kind, way.device.type, way.group.size)
    if tuple(state["way"]) != here:
        raise Mismatch(
            f"{path} was begun with step, device, processes = {tuple(state['way'])}, not {here}: "
            "go on in the same way, or move it away to begin again"
        )
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(found, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    if checkpoint.code() not in state["code"]:
        way.say(f"{setting.key}: the code has changed since this run was begun; both are recorded")
        state["code"].append(checkpoint.code())
    way.say(f"{setting.key}: goes on after epoch {len(state['history'])}")
    kept = ("history", "best", "seconds", "peak_memory", "code", "commit")
    absent = {"peak_memory": 0, "commit": provenance.commit()}  # from older checkpoints
    return absent | {name: state[name] for name in kept if name in state}


def _compare(setting: Setting, way: Way, done: int) -> None:
    """Raise Mismatch unless all processes go on after the same epoch."""
    found = [int(value) for value in way.group.each(done)]
    if len(set(found)) > 1:
        raise Mismatch(
            f"{setting.key}: the processes' checkpoints hold {', '.join(map(str, found))} epochs; "
            f"all must see one folder, that of the first process, and this one sees {way.folder}"
        )


def _save(
    setting: Setting,
    way: Way,
    kind: str,
    model: nn.Module,
    found: list[torch.optim.Optimizer],
    state: dict[str, Any],
) -> None:
    whole = {
        **state,
        "setting": asdict(setting),
        "way": [kind, way.device.type, way.group.size],
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in found],
    }
    checkpoint.save(way.checkpoint(setting), whole)


def _finished(setting: Setting, history: list[dict]) -> bool:
    """Whether all epochs are done, or so many have not improved validation accuracy."""
    if len(history) >= setting.epochs:
        return True
    best = _best_epoch(history)
    return bool(setting.patience and best and history[-1]["epoch"] - best >= setting.patience)


def _best_epoch(history: list[dict]) -> int:
    """The epoch with the best validation accuracy, the earliest on a tie; 0 if none was checked."""
    checked = [row for row in history if "valid_accuracy" in row]
    if not checked:
        return 0
    return max(checked, key=lambda row: (row["valid_accuracy"], -row["epoch"]))["epoch"]


def _is_best(setting: Setting, history: list[dict]) -> bool:
    return setting.select == "best" and _best_epoch(history) == history[-1]["epoch"]


def _checked(setting: Setting, epoch: int) -> bool:
    return epoch % setting.check_every == 0 or epoch == setting.epochs


def _room(way: Way, history: list[dict]) -> bool:
    """Whether the next epoch fits into the call's time; all processes agree."""
    last = history[-1]["seconds"] + history[-1].get("valid_seconds", 0) if history else 0.0
    return way.group.agree([float(way.clock.begins(last))])[0] > 0


def _epoch(
    setting: Setting,
    way: Way,
    epoch: int,
    net: nn.Module,
    found: list[torch.optim.Optimizer],
    step: steps.Step,
    tally: steps.Tally,
    train: feed.Part,
) -> dict[str, Any]:
    """Train for an epoch, counted from 1, and return its row of the history.

    Loss and accuracy are running means over augmented batches, each measured before its step.
    Raises TrainingFailed, naming epoch and step, if the loss is not finite.
    """
    net.train()
    _wait(way.device)
    began, done, sums = time.monotonic(), 0, [0.0] * 3
    rate = steps.set_rates(found, setting, epoch - 1)
    draws = feed.draw(setting, len(train), epoch)
    in_all = -(-len(draws.order) // setting.batch)
    bar = _bar(in_all, f"{setting.model} s{setting.seed} epoch {epoch}", way)
    for some in feed.batches(train, draws, setting, way.group.rank, way.group.size):
        for k, (x, y, own, total) in enumerate(some):
            if setting.rule == "muon":  # its rate falls from step to step
                steps.set_rates(found, setting, epoch - 1 + (done + k) / in_all)
                if way.group.size == 1:  # several processes wait for every gradient
                    steps.rest(found)
            step(x, y, own, total)
        *new, _, wrong = tally.take()
        where = way.group.add([wrong])[0]  # all end, whoever's loss it was
        if where:
            raise TrainingFailed(
                f"the loss is not finite in epoch {epoch}, step {done + int(wrong or where)}"
            )
        sums = [a + b for a, b in zip(sums, new)]
        done += len(some)
        if bar is not None:
            bar.update(len(some))
    if bar is not None:
        bar.close()
    loss, hits, n = way.group.add(sums)
    _wait(way.device)
    return {
        "epoch": epoch,
        "train_loss": loss / n,
        "train_accuracy": hits / n,
        "lr": rate,
        "seconds": round(time.monotonic() - began, 4),
    }


def _validate(
    way: Way,
    row: dict[str, Any],
    model: nn.Module,
    normalise: steps.Normalise,
    valid: feed.Part,
    setting: Setting,
) -> None:
    """Add validation loss and accuracy to a row; the first process computes, all know."""
    began = time.monotonic()
    values = [0.0, 0.0]
    if way.group.first:
        found = scores.predict(model, normalise, valid, setting)
        y = valid.y.cpu()
        loss = nn.functional.cross_entropy(found, y).item()
        values = [loss, (found.argmax(1) == y).double().mean().item()]
    loss, row["valid_accuracy"] = way.group.agree(values)
    row["valid_loss"] = loss
    row["valid_seconds"] = round(time.monotonic() - began, 4)
    if loss - loss != 0:
        raise TrainingFailed(f"the validation loss is not finite after epoch {row['epoch']}")


def _finish(
    setting: Setting,
    way: Way,
    kind: str,
    model: nn.Module,
    normalise: steps.Normalise,
    state: dict[str, Any],
    train: feed.Part,
    valid: feed.Part,
) -> dict[str, Any]:
    """Measure the last and the selected weights, keep the latter, and return the record."""
    history = state["history"]
    last = _measure(setting, model, normalise, valid, history[-1])
    selected = copy.deepcopy(last)
    if state["best"] is not None and _best_epoch(history) != len(history):
        model.load_state_dict(state["best"])
        selected = _measure(setting, model, normalise, valid, history[_best_epoch(history) - 1])
    clean = scores.predict(model, normalise, train, setting).argmax(1)
    selected["train_clean"] = (clean == train.y.cpu()).double().mean().item()
    last.get("valid", {}).pop("predictions", None)  # long, and needed of one only
    checkpoint.save(
        way.weights(setting),
        {"setting": asdict(setting), "model": _copy(model.state_dict(), "cpu")},
    )
    record = _record(setting, way, kind, state, train, valid)
    return record | {"last": last, "selected": selected}


def _measure(
    setting: Setting,
    model: nn.Module,
    normalise: steps.Normalise,
    valid: feed.Part,
    row: dict[str, Any],
) -> dict[str, Any]:
    """Everything about validation, and what the row of the weights' epoch says of training."""
    found: dict[str, Any] = {"epoch": row["epoch"], "train_augmented": row["train_accuracy"]}
    if len(valid):
        found["valid"] = scores.describe(scores.predict(model, normalise, valid, setting), valid.y)
    return found


def _record(
    setting: Setting,
    way: Way,
    kind: str,
    state: dict[str, Any],
    train: feed.Part,
    valid: feed.Part,
    failed: str = "",
) -> dict[str, Any]:
    """The line of a run, but for what is measured at its end."""
    return {
        "key": setting.key,
        "study": way.study,
        "status": "failed" if failed else "done",
        "reason": failed,
        "setting": asdict(setting),
        "epochs": state["history"],
        "step": kind,
        "processes": way.group.size,
        "parallel": way.parallel,
        "threads": torch.get_num_threads(),
        "peak_memory": state["peak_memory"] or provenance.peak_memory(way.device),
        **costs.count(setting.model),
        "train_part": train.digest,
        "valid_part": valid.digest,
        "code": state["code"],
        "device": provenance.device_name(way.device),
        "driver": provenance.driver(way.device.type),
        "versions": provenance.versions(),
        "seed": setting.seed,
        "seconds": round(state["seconds"], 3),
        "data": feed.digest(setting.data),
        "commit": state["commit"],
        "date": provenance.now(),
    }


def _copy(state: dict[str, Tensor], device: str | None = None) -> dict[str, Tensor]:
    return {name: tensor.detach().to(device, copy=True) for name, tensor in state.items()}


def _wait(device: torch.device) -> None:
    """Let the device finish, so that the clock is honest."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _line(setting: Setting, row: dict[str, Any]) -> str:
    valid = f", validation {row['valid_accuracy']:.2%}" if "valid_accuracy" in row else ""
    return (
        f"{setting.arm} {setting.model} seed {setting.seed}: "
        f"epoch {row['epoch']}/{setting.epochs}, loss {row['train_loss']:.3f}, "
        f"training {row['train_accuracy']:.2%}{valid}, {row['seconds']:.1f} s"
    )


def _bar(total: int, label: str, way: Way):
    """A progress bar where somebody watches and tqdm is there; else None."""
    import sys

    if not (sys.stderr.isatty() and way.group.first and way.parallel == 1):
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, desc=label, leave=False)
